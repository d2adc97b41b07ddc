"""The films that a run explained, with their boxes, predictions and maps, as pictures need them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from attribution.config import Score
from pipeline.shards import read_shard_tables
from pipeline.steps.maps import map_reader
from pipeline.steps.prediction import read_probabilities
from pipeline.steps.samples import read_samples
from pipeline.steps.truth import read_only_place

if TYPE_CHECKING:
    from evaluation.overlays import Example


@dataclass(frozen=True)
class EvaluatedFilms:
    """Explained samples, with the folders of their packed films and of each method's maps."""

    samples: pd.DataFrame
    pack: Path
    maps: Mapping[str, Path]
    named: bool  # whether pictures say which film they show (``report.hash_ids``)
    score: Score  # that was explained
    probabilities: np.ndarray | None  # (N,), None: what was predicted is no probability
    iou: pd.Series  # of Table 1 or 2, of method and sample; empty where it was not measured
    causal: np.ndarray | None  # bool (N, S, S): what the findings change, or as readers drew them

    @classmethod
    def read(
        cls,
        samples: Path,
        pack: Path,
        maps: Mapping[str, Path],
        *,
        hash_ids: bool,
        score: Score,
        prediction: Path | None = None,
        iou: Path | None = None,
        causal: Path | None = None,
    ) -> "EvaluatedFilms":
        """Of finished steps. ``prediction``: a classifier's; ``iou``: where the samples of Table 1
        or 2 may lie; ``causal``: a PhantomTruth's, or a PolygonTruth's."""
        frame = read_samples(samples)
        probabilities = None if prediction is None else read_probabilities(prediction, frame)
        ious = pd.DataFrame({"method": [], "sample": [], "iou": []})
        if iou is not None and iou.exists():
            ious = pd.read_csv(iou, na_values=["n/a"])
            ious = ious[ious["primary"]] if "primary" in ious else ious
        masks = None if causal is None else read_only_place(causal)
        by_map = ious.set_index(["method", "sample"])["iou"]
        return cls(frame, pack, maps, not hash_ids, score, probabilities, by_map, masks)

    @property
    def predicted(self) -> np.ndarray:
        """``probabilities`` of a classifier's samples."""
        assert self.probabilities is not None
        return self.probabilities

    @property
    def right(self) -> np.ndarray:
        """Which of a classifier's samples (N,) are predicted, all of them being there."""
        from evaluation.examples import RIGHT_PROBABILITY

        return self.predicted >= RIGHT_PROBABILITY

    def iou_of(self, method: str) -> np.ndarray:
        """IoU (N,) of the method's maps, NaN where it was not measured."""
        maps = pd.MultiIndex.from_product([[method], self.samples["sample"]])
        values: np.ndarray = self.iou.reindex(maps).to_numpy(np.float64)
        return values

    def examples(self, positions: Sequence[int], methods: Sequence[str]) -> "list[Example]":
        """The samples at these positions, each with its own box and what is known of its maps."""
        from data.packing import PackedFilms
        from evaluation.overlays import Example

        chosen = self.samples.iloc[list(positions)]
        films = PackedFilms(self.pack).load(chosen["image"].tolist())
        maps = {method: map_reader(self.maps[method])(positions) for method in methods}
        notes = {method: self._notes(method) for method in methods}
        iou = {method: self.iou_of(method) for method in methods}
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
                causal=None if self.causal is None else np.array(self.causal[position]),
                iou={
                    method: float(values[position])
                    for method, values in iou.items()
                    if np.isfinite(values[position])
                },
                notes={method: notes[method][position] for method in methods},
                hung=True,
            )
            for number, (position, (_, row)) in enumerate(
                zip(positions, chosen.iterrows(), strict=True)
            )
        ]

    def _notes(self, method: str) -> list[tuple[str, ...]]:
        """What is predicted of each sample behind the method's bottleneck, where it has one."""
        told = read_shard_tables(self.maps[method], "diagnostics.csv")
        if "bottleneck_score" not in told:
            return [()] * len(told)
        return [(self._behind(score),) for score in told["bottleneck_score"]]

    def _behind(self, score: float) -> str:
        from scipy.special import expit

        if self.score is Score.output:
            return f"severity behind: {score:.1f}"
        probability = expit(score) if self.score is Score.logit else score
        return f"probability behind: {probability:.2f}"
