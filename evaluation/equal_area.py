"""Equal-area removal: every map takes away the same number of pixels; how far does the score fall?

The paper's Discussion: "if we remove the highlighted areas of both methods (equally remove) from
the image, the output change caused by the removal of Inverse IBA regions is higher".
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.config import EqualAreaConfig
from evaluation.perturbation import (
    Scorer,
    baseline_images,
    check_images,
    pixel_ranks,
    replaced_scores,
)


def equal_area_changes(
    score: Scorer,
    images: Tensor,
    targets: Tensor,
    film: NDArray[np.floating],
    maps: Tensor,
    config: EqualAreaConfig,
) -> NDArray[np.float64]:
    """Score of the film less its score without the highest-ranked pixels, float64 (N, F).

    A column for each of ``config.fractions``; of H W pixels, fraction f removes round(f H W).
    ``film`` (N,): the score of each of ``images``, which no map needs again. ValueError for a
    fraction outside (0, 1].
    """
    check_images(images, targets, maps)
    fractions = torch.tensor(config.fractions, dtype=torch.float64)
    if not len(fractions) or not bool(((fractions > 0) & (fractions <= 1)).all()):
        raise ValueError(
            f"evaluation.equal_area.fractions must be in (0, 1], got {config.fractions}"
        )
    device, num = images.device, len(images)
    ranks = pixel_ranks(maps.to(device))
    counts = (fractions * ranks.shape[1]).round().long().to(device)
    rows = torch.arange(num, device=device).repeat_interleave(len(counts))
    count = counts.repeat(num)[:, None]
    scores = replaced_scores(
        score,
        images,
        targets,
        baseline_images(images, config.baseline, config.blur),
        rows,
        lambda part: ranks[rows[part]] < count[part],
        config.batch_size,
    )
    return np.asarray(film, np.float64)[:, None] - scores.view(num, len(counts)).numpy()


def equal_area_samples(
    samples: pd.DataFrame, changes: NDArray[np.float64], config: EqualAreaConfig
) -> pd.DataFrame:
    """Long per-sample rows: the columns of ``samples``, metric (``change_0.1`` ...), value."""
    columns = {f"change_{fraction:g}": changes[:, k] for k, fraction in enumerate(config.fractions)}
    return samples.assign(**columns).melt(
        id_vars=list(samples), value_vars=list(columns), var_name="metric"
    )
