"""Localization: one method's maps, or maps that never saw the film, against the truth."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from evaluation.config import LocalizationMetricsConfig
from evaluation.priors import PRIORS
from pipeline.step import Source, Step, Work
from pipeline.steps.maps import map_shards
from pipeline.steps.samples import NAMES, read_samples, sample_names
from pipeline.steps.truth import CAUSAL, read_lungs_of, read_only_place, read_truth

LUNG_MASK = "lung_mask"
"""Beside ``PRIORS``, the prior of a ZoneTruth: the lungs whose zones the truth is made of."""
ONE_SPREAD = "causal_one_spread"
"""The place of causal pixels where maps were brought to one point-spread first."""
_ROWS = 64  # maps of a prior held at a time

Batches = Iterator[tuple[np.ndarray, np.ndarray]]
"""Rows (n,) of the samples, and their maps (n, side, side)."""


@dataclass(frozen=True)
class Localization(Step):
    """IoU with each mask of the truth at every threshold (Tables 1 and 2), and the metrics that
    need no chosen threshold.

    Of ``maps`` or of a ``prior``. ``thresholds``: None for no curves; ``in_bits``: at absolute
    thresholds too. ``metric_places``: None for all.
    """

    version: ClassVar = 5
    code: ClassVar = (
        "evaluation/localization.py",
        "evaluation/localization_metrics.py",
        "evaluation/priors.py",
    )
    samples: Source
    truth: Source
    maps: Source | None
    prior: str | None
    thresholds: int | None
    metrics: LocalizationMetricsConfig
    metric_places: tuple[str, ...] | None
    in_bits: bool

    def __post_init__(self) -> None:
        if (self.maps is None) == (self.prior is None):
            raise ValueError("localization is measured of maps or of a prior, one of them")

    def run(self, work: Work) -> None:
        from evaluation.localization import iou_curve
        from evaluation.localization_metrics import localization_metrics

        samples = read_samples(work[self.samples])
        truth = read_truth(work[self.truth])
        grids = self._grids()
        curves: dict[str, dict[str, Any]] = {name: {} for name in grids}
        frames: list[pd.DataFrame] = []
        for done, (place, masks) in enumerate(truth.items()):
            measured = self.metric_places is None or place in self.metric_places
            for name, (grid, _) in grids.items():
                curves[name][place] = np.full((len(samples), len(grid)), np.nan)
            if not (measured or grids):
                continue
            maps_of = None if self.maps is None else work[self.maps]
            known = np.flatnonzero(masks.any(axis=(1, 2)))
            for rows, maps in map_batches(
                maps_of, self.prior, work[self.truth], place, masks, samples, known
            ):
                asked = samples.iloc[rows]
                names, inside = sample_names(asked), np.asarray(masks[rows])
                for name, (grid, scale) in grids.items():
                    curves[name][place][rows] = iou_curve(maps, inside, grid, names, scale)
                if measured:
                    values = localization_metrics(maps, inside, self.metrics, names)
                    named = asked[NAMES].assign(place=place).reset_index(drop=True)
                    frames.append(named.join(values))
                work.progress(done * len(samples) + int(rows[-1]) + 1, len(truth) * len(samples))
        if not frames:
            raise ValueError("no sample has a truth to be compared with")
        for name, by_place in curves.items():
            np.savez(work.folder / f"{name}.npz", **by_place)
        pd.concat(frames).to_csv(work.folder / "samples.csv", index=False)

    def _grids(self) -> dict[str, tuple[np.ndarray, float | None]]:
        """Thresholds (T,), and what maps are divided by, by the curves' name."""
        from evaluation.localization import BITS_PER_PIXEL, threshold_grid

        if self.thresholds is None:
            return {}
        relative = {"curves": (threshold_grid(self.thresholds), None)}
        return relative | ({"curves_bits": (BITS_PER_PIXEL, 1.0)} if self.in_bits else {})


def map_batches(
    maps: Path | None,
    prior: str | None,
    truth: Path,
    place: str,
    masks: np.ndarray,
    samples: pd.DataFrame,
    indices: np.ndarray,
) -> Batches:
    """The maps of the samples at ``indices``, of a finished step or of a prior that knows only
    where ``masks``, those of ``place`` in the finished ``truth``, lie on these samples."""
    if maps is not None:
        return _stored(maps, indices)
    if prior == LUNG_MASK:
        lungs = read_lungs_of(truth, place)
        return _made(indices, lambda part: lungs[indices[part]].astype(np.float32))
    assert prior is not None
    patients, findings = (samples[name].to_numpy()[indices] for name in ("patient", "finding"))
    made = PRIORS[prior](lambda part: masks[indices[part]], patients, findings)
    return _made(indices, made)


def _stored(folder: Path, indices: np.ndarray) -> Batches:
    done = 0
    for maps in map_shards(folder):
        rows = indices[(indices >= done) & (indices < done + len(maps))]
        if len(rows):
            yield rows, np.asarray(maps[rows - done])
        done += len(maps)


def _made(indices: np.ndarray, prior: Callable[[np.ndarray], np.ndarray]) -> Batches:
    """``prior``: positions (n,) in ``indices`` -> maps."""
    for start in range(0, len(indices), _ROWS):
        part = np.arange(start, min(start + _ROWS, len(indices)))
        yield indices[part], prior(part)


def read_curves(folder: Path, name: str = "curves") -> dict[str, np.ndarray]:
    """float64 IoU (N, T) of a finished Localization by place; NaN in the rows of samples without
    such a truth. ``name``: curves, or curves_bits at absolute thresholds."""
    with np.load(folder / f"{name}.npz") as stored:
        return {place: stored[place] for place in stored.files}


@dataclass(frozen=True)
class OneSpread(Step):
    """One tap's maps against what truly changes a phantom, smoothed to the point-spread of the
    coarsest of the ``taps`` that are compared. Each has the sigma of its bottleneck, in cells."""

    version: ClassVar = 1
    code: ClassVar = ("evaluation/point_spread.py", "evaluation/localization_metrics.py")
    samples: Source
    truth: Source
    maps: Source
    tap: tuple[str, float]
    taps: tuple[tuple[str, float], ...]

    def run(self, work: Work) -> None:
        from evaluation.localization_metrics import RankedHits, mass_inside
        from evaluation.point_spread import at_point_spread, point_spread
        from models.densenet import DenseNet121

        samples, truth = read_samples(work[self.samples]), read_truth(work[self.truth])[CAUSAL]
        spreads = {
            (tap, sigma): point_spread(DenseNet121.cell_centres(tap)[1], sigma)
            for tap, sigma in self.taps
        }
        own, wanted = spreads[self.tap], max(spreads.values())
        values = []
        rows = np.flatnonzero(truth.any(axis=(1, 2)))
        for part, maps in _stored(work[self.maps], rows):
            for heat, inside in zip(at_point_spread(maps, own, wanted), truth[part], strict=True):
                flat = heat.ravel(), inside.ravel()
                precision = RankedHits.of(*flat).average_precision()
                values.append((precision, mass_inside(*flat)))
            work.progress(int(part[-1]) + 1, len(samples))
        frame = samples.iloc[rows][NAMES].assign(place=ONE_SPREAD)
        frame[["average_precision", "mass_in_box"]] = values
        frame.to_csv(work.folder / "samples.csv", index=False)


@dataclass(frozen=True)
class LossComparison(Step):
    """One method's maps of every loss's model against the boxes, by each rule of Table 3."""

    version: ClassVar = 2
    code: ClassVar = ("evaluation/loss_comparison.py", "evaluation/localization.py")
    samples: Source
    truth: Source
    maps: Mapping[str, Source]  # by loss
    thresholds: int
    fold_seed: int
    seed: int

    def run(self, work: Work) -> None:
        from evaluation.localization import iou_curve, threshold_grid
        from evaluation.localization_metrics import RankedHits
        from evaluation.loss_comparison import BITS_PER_PIXEL, RULES, TIMES_MEAN, table3_samples

        samples = read_samples(work[self.samples])
        truth = read_only_place(work[self.truth])
        relative = threshold_grid(self.thresholds)
        curves: dict[str, dict[str, np.ndarray]] = {rule: {} for rule in RULES}
        precision = {}
        for loss, source in self.maps.items():
            folder = work[source]
            mean = float(np.mean(np.concatenate([m.mean(axis=(1, 2)) for m in map_shards(folder)])))
            grids = {
                "threshold_per_model": (relative, None),
                "shared_threshold": (BITS_PER_PIXEL, 1.0),
                "matched_bits": (TIMES_MEAN, mean),
            }
            parts: dict[str, list[np.ndarray]] = {rule: [] for rule in grids}
            ranked, done = [], 0
            for maps in map_shards(folder):
                rows = slice(done, done + len(maps))
                names, inside = sample_names(samples[rows]), np.asarray(truth[rows])
                for rule, (grid, scale) in grids.items():
                    parts[rule].append(iou_curve(maps, inside, grid, names, scale))
                ranked += [
                    RankedHits.of(m.ravel(), t.ravel()).average_precision()
                    for m, t in zip(maps, inside, strict=True)
                ]
                done += len(maps)
            for rule, chunks in parts.items():
                curves[rule][loss] = np.concatenate(chunks)
            precision[loss] = np.array(ranked)
        frame = table3_samples(samples, curves, relative, precision, self.fold_seed, self.seed)
        frame.to_csv(work.folder / "samples.csv", index=False)
