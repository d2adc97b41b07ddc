"""Films with pixels replaced: in which order, by what, and how the model scores them."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from evaluation.config import REFERENCE_SIDE, Baseline, BlurConfig

Scorer = Callable[[Tensor, Tensor], Tensor]
"""(images (n, 3, H, W), targets (n,)) -> scores (n,): the target's sigmoid, or a regression's raw
output. The model behind it is in evaluation mode; no gradient is asked of it."""


def baseline_images(images: Tensor, baseline: Baseline, blur: BlurConfig) -> Tensor:
    """What replaces pixels of normalised ``images`` (N, 3, H, W): same shape.

    The blur is the product of two lines, with mirrored edges (torchvision's); sigma and kernel, the
    latter rounded to an odd number, scale with H / 224.
    """
    if baseline is Baseline.zero:
        return torch.zeros_like(images)
    scale = images.shape[2] / REFERENCE_SIDE
    kernel, sigma = 2 * round((blur.kernel * scale - 1) / 2) + 1, blur.sigma * scale
    if kernel < 1 or sigma <= 0:
        raise ValueError(f"blur of sigma {blur.sigma} and kernel {blur.kernel}: both must be > 0")
    rows = gaussian_blur(images, [1, kernel], [sigma, sigma])
    return gaussian_blur(rows, [kernel, 1], [sigma, sigma])


def pixel_ranks(maps: Tensor) -> Tensor:
    """Rank of each pixel int64 (N, H W) in ``maps`` (N, H, W): 0 for the highest value.

    Equal values rank by their index, row by row from the top left. ValueError for NaN or infinity.
    """
    if not maps.isfinite().all():
        raise ValueError("maps to rank hold NaN or infinity")
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    ranks = torch.empty_like(order)
    positions = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return ranks.scatter_(1, order, positions)


def check_images(images: Tensor, targets: Tensor, maps: Tensor | None = None) -> None:
    """ValueError unless images (N, 3, H, W), targets (N,) and maps (N, H, W) fit."""
    if images.ndim != 4 or len(images) == 0 or targets.shape != images.shape[:1]:
        raise ValueError(
            f"images must be (N, 3, H, W) with N > 0 and targets (N,), got {tuple(images.shape)} "
            f"and {tuple(targets.shape)}"
        )
    if maps is not None and maps.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"maps {tuple(maps.shape)} do not fit images {tuple(images.shape)}: one value a pixel"
        )


@torch.no_grad()
def replaced_scores(
    score: Scorer,
    images: Tensor,
    targets: Tensor,
    baseline: Tensor,
    rows: Tensor,
    replaced: Callable[[slice], Tensor],
    batch_size: int,
) -> Tensor:
    """Scores float64 (R,) on the CPU of the films ``images[rows]``, some pixels replaced.

    ``images`` and ``baseline`` (N, 3, H, W), ``rows`` (R,) indices into them; ``replaced(part)`` is
    the mask (r, H W), or one that expands to it, of the rows of that part. ``batch_size`` bounds
    the memory. FloatingPointError where a score is not finite.
    """
    height, width = images.shape[2:]
    scores = [images.new_empty(0)]  # no rows, no scores
    for start in range(0, len(rows), batch_size):
        part = slice(start, min(start + batch_size, len(rows)))
        row = rows[part]
        mask = replaced(part).view(-1, 1, height, width)
        scores.append(score(torch.where(mask, baseline[row], images[row]), targets[row]))
    result = torch.cat(scores).double().cpu()
    if result.shape != rows.shape:
        raise ValueError(f"a scorer must give one number per film, got {tuple(scores[-1].shape)}")
    bad = rows.cpu()[~result.isfinite()].unique().tolist()
    if bad:
        raise FloatingPointError(f"the model's score of sample(s) {bad} is not finite")
    return result
