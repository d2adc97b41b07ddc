"""Maps against boxes or lesion masks: IoU at thresholds nobody fitted, and without a threshold.

The cross-fitted IoU, the primary rule, is in ``localization``. A metric is NaN for a film where it
is not defined; tables count those.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.config import LocalizationMetricsConfig
from evaluation.localization import check_finite, iou_curve


@dataclass(frozen=True)
class RankedHits:
    """Pixels of a map from the highest value down: after each group of equal values, how many
    pixels there were (G + 1,) and how many of the truth (G + 1,), both from 0.

    Within a group the truth counts in proportion: the mean over all orders of its pixels.
    """

    pixels: NDArray[np.intp]
    hits: NDArray[np.intp]

    @classmethod
    def of(cls, values: NDArray[np.floating], truth: NDArray[np.bool_]) -> "RankedHits":
        """Of one map and its truth, both flat (P,)."""
        order = np.argsort(-values, kind="stable")
        ranked = values[order]
        last = np.r_[np.flatnonzero(ranked[1:] != ranked[:-1]), len(values) - 1]
        return cls(np.r_[0, last + 1], np.r_[0, np.cumsum(truth[order])[last]])

    def hits_among(self, pixels: float) -> float:
        """Truth among that many highest-ranked pixels."""
        return float(np.interp(pixels, self.pixels, self.hits))

    def average_precision(self) -> float:
        """sum_g (R_g - R_{g-1}) P_g over the groups, as in scikit-learn."""
        gained = np.diff(self.hits)
        return float((gained * self.hits[1:] / self.pixels[1:]).sum() / self.hits[-1])


def localization_metrics(
    maps: NDArray[np.floating],
    truth: NDArray[np.bool_],
    config: LocalizationMetricsConfig,
    names: Sequence[object] | None = None,
) -> pd.DataFrame:
    """A row for each of ``maps`` (N, H, W), against ``truth`` (N, H, W), boxes or lesion masks:

    - iou_fixed_<t>: pixels above t times the map's maximum.
    - iou_box_area: as many of the highest pixels as the truth has.
    - average_precision: of the pixels, ranked by the map.
    - mass_in_box: share of the positive values inside.
    - pointing: whether the highest pixel is inside; of several, the share that is.
    - relevance_rank: share of the truth among as many of the highest pixels.
    - recall_at_area: share of the truth among the highest ``config.area`` of the film.
    - effective_heat_ratio: see the function.

    ``names`` say whose map it is in an error. ValueError for a map that is not finite or an empty
    truth.
    """
    # First, because it checks every map and truth.
    fixed = iou_curve(maps, truth, np.sort(config.fixed_thresholds), names)
    columns = {
        f"iou_fixed_{t:g}": fixed[:, k] for k, t in enumerate(np.sort(config.fixed_thresholds))
    }
    rows = [_ranked_metrics(m.ravel(), t.ravel(), config) for m, t in zip(maps, truth, strict=True)]
    ratios = [effective_heat_ratio(m, t, config) for m, t in zip(maps, truth, strict=True)]
    return pd.DataFrame(columns).join(pd.DataFrame(rows)).assign(effective_heat_ratio=ratios)


def _ranked_metrics(
    values: NDArray[np.floating], truth: NDArray[np.bool_], config: LocalizationMetricsConfig
) -> dict[str, float]:
    ranked, size, pixels = RankedHits.of(values, truth), truth.sum(), len(values)
    among = ranked.hits_among(size)
    return {
        "iou_box_area": among / (2 * size - among),
        "average_precision": ranked.average_precision(),
        "mass_in_box": mass_inside(values, truth),
        "pointing": ranked.hits[1] / ranked.pixels[1],
        "relevance_rank": among / size,
        "recall_at_area": ranked.hits_among(config.area * pixels) / size,
    }


def weaker_share(
    maps: NDArray[np.floating], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Share (N,) of the smaller of a map's positive mass in two regions, all (N, H, W), of both.

    0.5 where a map holds both alike, 0 where it holds one alone; NaN where it holds neither. Fig. 1
    prints it; no claim rests on it, for a map that marks everything has 0.5. ValueError for a map
    that is not finite.
    """
    check_finite(maps)
    positive = np.maximum(maps, 0).astype(np.float64)
    masses = np.stack([(positive * region).sum(axis=(1, 2)) for region in (first, second)])
    total = masses.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, masses.min(axis=0) / total, np.nan)


def mass_inside(values: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Share of the positive values of a map that lie in ``truth``, both flat (P,).

    NaN for a map without positive values.
    """
    positive = np.maximum(values, 0).astype(np.float64)
    mass = positive.sum()
    return float(positive[truth].sum() / mass) if mass > 0 else np.nan


def effective_heat_ratio(
    heat: NDArray[np.floating], truth: NDArray[np.bool_], config: LocalizationMetricsConfig
) -> float:
    """Effective Heat Ratio of one map (H, W) (published code): area over quantiles q of the share
    of the heat above the q-quantile that lies in ``truth``.

    Heat below ``config.heat_floor`` of the maximum is dropped first; no threshold is above 0.99 of
    the maximum. The published ratio divides heat by a number of pixels, so that it grows with the
    map's unit; here heat is divided by heat. NaN for a map without positive values.
    """
    values, inside = heat.ravel().astype(np.float64), truth.ravel()
    peak = values.max()
    if peak <= 0:
        return np.nan
    kept = values >= config.heat_floor * peak
    values, inside = values[kept] / peak, inside[kept]
    order = np.argsort(values)
    ranked = values[order]
    levels = np.linspace(0, 1, config.heat_levels)
    first = np.searchsorted(ranked, np.minimum(np.quantile(ranked, levels), 0.99))
    above = np.cumsum(ranked[::-1])[::-1]
    above_inside = np.cumsum((ranked * inside[order])[::-1])[::-1]
    return float(np.trapezoid(above_inside[first] / above[first], levels))
