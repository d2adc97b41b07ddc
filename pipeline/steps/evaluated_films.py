"""The films that a run explained, with their boxes, predictions and maps, as pictures need them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.steps.maps import map_reader
from pipeline.steps.prediction import read_outputs
from pipeline.steps.samples import read_samples

if TYPE_CHECKING:
    from evaluation.overlays import Example


@dataclass(frozen=True)
class EvaluatedFilms:
    """Explained samples, with the folders of their packed films and of each method's maps."""

    samples: pd.DataFrame
    pack: Path
    maps: Mapping[str, Path]
    named: bool  # whether pictures say which film they show (``report.hash_ids``)
    probabilities: np.ndarray | None  # (N,), None: what was predicted is no probability
    iou: pd.Series  # Table 1's, of method and sample; empty where it was not measured

    @classmethod
    def read(
        cls,
        samples: Path,
        pack: Path,
        maps: Mapping[str, Path],
        *,
        hash_ids: bool,
        prediction: Path | None = None,
        tables: Path | None = None,
    ) -> "EvaluatedFilms":
        """Of finished steps. ``prediction``: a classifier's; ``tables``: where Table 1 may lie."""
        frame = read_samples(samples)
        probabilities = None
        if prediction is not None:
            names, logits = read_outputs(prediction)
            rows = pd.Series(np.arange(len(names)), index=names)[frame["image"]].to_numpy()
            scores = logits[rows, frame["target"].to_numpy()].astype(np.float64)
            probabilities = 1 / (1 + np.exp(-scores))
        iou = pd.DataFrame({"method": [], "sample": [], "iou": []})
        if tables is not None and (table := tables / "table1_samples.csv").exists():
            iou = pd.read_csv(table, na_values=["n/a"])
        by_map = iou.set_index(["method", "sample"])["iou"]
        return cls(frame, pack, maps, not hash_ids, probabilities, by_map)

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
        films = PackedFilms(self.pack).load(chosen["image"].tolist())
        maps = {method: map_reader(self.maps[method])(positions) for method in methods}
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
                    method: f"IoU {self.iou[method, row['sample']]:.2f}"
                    for method in methods
                    if (method, row["sample"]) in self.iou.index
                },
                hung=True,
            )
            for number, (position, (_, row)) in enumerate(
                zip(positions, chosen.iterrows(), strict=True)
            )
        ]
