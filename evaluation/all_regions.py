"""Does a map mark all regions that show a finding, or enough of them for the prediction?

The paper (2.1, Fig. 1): IBA keeps what suffices, Inverse IBA marks all regions. Told on films with
two regions or more: lesions of one finding, or lung zones of one score.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.localization import check_finite
from evaluation.localization_metrics import RankedHits


def all_regions(
    maps: NDArray[np.floating],
    regions: NDArray[np.integer],
    names: Sequence[object] | None = None,
) -> pd.DataFrame:
    """A row for each of ``maps`` (N, H, W); ``regions`` (N, H, W) number its film's, 0 is none.

    - least_recall: of the highest pixels of the map, as many as all regions have (the matched
      area), the share of the region that has least of them. Of equal pixels a share counts.
    - selectivity: share of these pixels that lies on any region. A map that marks everything a
      little has a low one; 1 with a low least_recall is a map that marks one region alone.
    - evenness: least over greatest mean of the map's positive part in a region. 1 for a map of one
      value, so it means nothing without selectivity. NaN for a map without positive values there.

    ``names`` say whose map it is in an error. ValueError for a map that is not finite, or fewer
    than two regions.
    """
    check_finite(maps, names)
    rows = []
    for number, (values, labels) in enumerate(zip(maps, regions, strict=True)):
        masks = [labels == region for region in np.unique(labels[labels > 0])]
        if len(masks) < 2:
            name = names[number] if names is not None else number
            raise ValueError(f"sample {name} has {len(masks)} region(s): two or more are compared")
        rows.append(_one_film(values.ravel(), np.stack(masks).reshape(len(masks), -1)))
    return pd.DataFrame(rows, columns=["least_recall", "selectivity", "evenness"])


def _one_film(values: NDArray[np.floating], regions: NDArray[np.bool_]) -> tuple[float, ...]:
    """Of a flat map (P,) and its regions (R, P)."""
    area = int(regions.sum())
    hits = [RankedHits.of(values, region).hits_among(area) for region in regions]
    recalls = np.array(hits) / regions.sum(axis=1)
    positive = np.maximum(values, 0).astype(np.float64)
    means = np.array([positive[region].mean() for region in regions])
    evenness = means.min() / means.max() if means.max() > 0 else np.nan
    return float(recalls.min()), float(sum(hits) / area), float(evenness)
