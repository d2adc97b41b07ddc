"""The films that a run explained, with their boxes, predictions and maps, as pictures need them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.config import PipelineConfig
from pipeline.stages.attribute import map_reader, read_samples
from pipeline.stages.predict import read_logits

if TYPE_CHECKING:
    from evaluation.overlays import Example


@dataclass(frozen=True)
class EvaluatedFilms:
    """``samples``, ``probabilities`` (N,) of their findings, ``folders`` as given to ``read``."""

    samples: pd.DataFrame
    probabilities: np.ndarray | None  # None: what was predicted is no probability
    iou: pd.DataFrame  # Table 1's, of method and sample; empty where it was not measured
    folders: Mapping[str, Path]
    shard_size: int
    named: bool  # whether pictures say which film they show (``report.hash_ids``)

    @classmethod
    def of(
        cls,
        config: PipelineConfig,
        folders: Mapping[str, Path],
        samples: pd.DataFrame,
        probabilities: np.ndarray | None,
    ) -> "EvaluatedFilms":
        """``folders``: results of the stages pack, tables and maps_<method>."""
        table = folders["tables"] / "table1_samples.csv"
        iou = pd.DataFrame({"method": [], "sample": [], "iou": []})
        if table.exists():
            iou = pd.read_csv(table, na_values=["n/a"])[list(iou.columns)]
        shard_size, named = config.attribution.shard_size, not config.report.hash_ids
        return cls(samples, probabilities, iou, folders, shard_size, named)

    @classmethod
    def read(cls, config: PipelineConfig, folders: Mapping[str, Path]) -> "EvaluatedFilms":
        """``folders`` as for ``of``, with the results of select and of a classifier's predict."""
        samples = read_samples(folders["select"])
        names, logits = read_logits(folders["predict"])
        rows = pd.Series(np.arange(len(names)), index=names)[samples["image"]].to_numpy()
        scores = logits[rows, samples["target"].to_numpy()].astype(np.float64)
        return cls.of(config, folders, samples, 1 / (1 + np.exp(-scores)))

    @property
    def predicted(self) -> np.ndarray:
        """``probabilities`` of a classifier's samples."""
        assert self.probabilities is not None
        return self.probabilities

    def examples(self, positions: Sequence[int], methods: Sequence[str]) -> "list[Example]":
        """The samples at these positions, each with its own box and the IoU of its maps."""
        from data.packing import PackedFilms
        from evaluation.overlays import Example

        chosen = self.samples.iloc[list(positions)]
        films = PackedFilms(self.folders["pack"]).load(chosen["image"].tolist())
        maps = {
            method: map_reader(self.folders[f"maps_{method}"], self.shard_size)(positions)
            for method in methods
        }
        iou = self.iou.set_index(["method", "sample"])["iou"]
        predicted, boxed = self.probabilities, "w" in chosen
        return [
            Example(
                sample=int(row["sample"]),
                image=row["image"] if self.named else "",
                finding=row["finding"],
                probability=None if predicted is None else float(predicted[position]),
                film=films[number],
                maps={method: maps[method][number] for method in methods},
                boxes=((row["x"], row["y"], row["w"], row["h"]),) if boxed else (),
                notes={
                    method: f"IoU {iou[method, row['sample']]:.2f}"
                    for method in methods
                    if (method, row["sample"]) in iou.index
                },
                hung=True,
            )
            for number, (position, (_, row)) in enumerate(
                zip(positions, chosen.iterrows(), strict=True)
            )
        ]
