"""Twins: a lesion and its mirrored copy on one film; does a method's map hold both? (Fig. 1)"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from evaluation.config import TwinsConfig
from pipeline.shards import Compute, run_shards
from pipeline.step import Inputs, Source, Step, Work
from pipeline.steps.explainer import Explainer
from pipeline.steps.maps import read_statistics
from pipeline.steps.samples import NAMES, read_samples


@dataclass(frozen=True)
class Twins(Step):
    """Share of the weaker of two equal lesions in one method's maps of phantoms."""

    version: ClassVar = 4
    code: ClassVar = (
        "attribution",
        "models/frozen_densenet.py",
        "data/phantom/counterfactual.py",
    )
    films: Source
    model: Source
    pack: Source
    samples: Source
    explainer: Explainer
    statistics: Mapping[str, Source]  # by tap
    config: TwinsConfig
    side: int
    threads: int
    shard: int = 4  # samples, one micro-batch

    def run(self, work: Work) -> None:
        run_shards(work, len(self._measured(work)), self.shard, self.prepare)

    def prepare(self, inputs: Inputs) -> Compute:
        import torch

        from data.packing import resize_and_crop, resize_mask
        from data.phantom.counterfactual import read_pair, twin_of
        from evaluation.localization_metrics import weaker_share
        from models.densenet import normalise
        from pipeline.steps.loaded_model import LoadedModel

        loaded = LoadedModel.load(
            inputs[self.model], inputs[self.pack], inputs.machine, self.threads
        )
        samples = self._measured(inputs)
        explain = self.explainer.found(inputs).build(read_statistics(inputs, self.statistics))

        def compute(folder: Path, rows: slice) -> None:
            part = samples.iloc[rows]
            films, lesions, copies = [], [], []
            for image, finding in zip(part["image"], part["finding"], strict=True):
                pair = read_pair(inputs[self.films], image, finding)
                twin, copy = twin_of(pair)
                films.append(resize_and_crop(twin, self.side))
                lesions.append(resize_mask(pair.causal, self.side))
                copies.append(resize_mask(copy, self.side))
            result = explain(
                loaded.explained_by(self.explainer.method),
                normalise(torch.from_numpy(np.stack(films)).to(loaded.device)),
                loaded.targets(part),
                score=self.explainer.score_function,
                seeds=part["seed"].tolist(),
            )
            shares = weaker_share(result.maps.numpy(), np.stack(lesions), np.stack(copies))
            part[NAMES].assign(truth="twins", metric="weaker_share", value=shares).to_csv(
                folder / "samples.csv", index=False
            )

        return compute

    def _measured(self, inputs: Inputs) -> pd.DataFrame:
        from evaluation.sampling import first_turns

        samples = read_samples(inputs[self.samples])
        samples = samples[samples["finding"].isin(self.config.findings)]
        return first_turns(samples.assign(turn=samples["turn"].rank() - 1), self.config.max_samples)
