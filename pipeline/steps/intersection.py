"""Intersection: the binary map of Eq. 7 against the truth, which needs no threshold of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from pipeline.step import Source, Step, Work
from pipeline.steps.maps import map_shards
from pipeline.steps.samples import NAMES, read_samples
from pipeline.steps.truth import read_truth


@dataclass(frozen=True)
class BinaryIntersection(Step):
    """IoU with each mask of the truth of the pixels where the maps of all ``layers`` are above
    their ``thresholds``, in the same order."""

    version: ClassVar = 1
    code: ClassVar = ("attribution/multilayer_iba.py",)
    samples: Source
    truth: Source
    layers: Mapping[str, Source]
    thresholds: tuple[float, ...]

    def run(self, work: Work) -> None:
        import torch

        from attribution.config import Intersection
        from attribution.multilayer_iba import intersect

        samples, truth = read_samples(work[self.samples]), read_truth(work[self.truth])
        layers = [map_shards(work[source]) for source in self.layers.values()]
        frames, done = [], 0
        for shards in zip(*layers, strict=True):
            maps = [torch.from_numpy(np.array(shard)) for shard in shards]
            marked = intersect(maps, self.thresholds, Intersection.binary).numpy() > 0
            rows = slice(done, done + len(marked))
            for place, masks in truth.items():
                inside = np.asarray(masks[rows])
                hit, either = (
                    found.sum(axis=(1, 2)) for found in (marked & inside, marked | inside)
                )
                frame = samples[rows][NAMES].assign(place=place, iou=hit / np.maximum(either, 1))
                frames.append(frame[inside.any(axis=(1, 2))])
            done += len(marked)
            work.progress(done, len(samples))
        pd.concat(frames).to_csv(work.folder / "samples.csv", index=False)
