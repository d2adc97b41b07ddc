"""Where the cells of a feature map lie on the image: maps are drawn by the centres of their cells.

Along an axis cell k looks at the image around pixel ``first + k step``, counted from 0, the centre
of its receptive field. Strided layers whose padding is not that of their kernel move it away from
where an even spread over the image would put it.
"""

from typing import Any

import torch
from torch import Tensor

from attribution.precision import without_autocast

Centres = tuple[float, float]
"""(first, step) in pixels, of both axes."""


def centres_of(model: Any, tap: str) -> Centres | None:
    """What ``model.cell_centres`` says of the tap; None, an even spread, where it has no such."""
    known = getattr(model, "cell_centres", None)
    return None if known is None else known(tap)


def placed(cells: Tensor, side: tuple[int, int], centres: Centres | None) -> Tensor:
    """Maps (N, H, W) of cells (N, h, w), bilinear between the centres of the cells and constant
    beyond the outermost; in the cells' type.

    Without ``centres`` the cells share the image evenly, each H / h pixels high.
    """
    rows, columns = (
        interpolation_matrix(size, number, centres).to(cells)
        for size, number in zip(side, cells.shape[1:], strict=True)
    )
    with without_autocast(cells):
        return rows @ cells @ columns.T


def interpolation_matrix(size: int, cells: int, centres: Centres | None) -> Tensor:
    """Linear interpolation along an axis of ``size`` pixels, float64 (size, cells); rows sum to
    1."""
    even = size / cells
    first, step = centres or ((even - 1) / 2, even)
    pixels = torch.arange(size, dtype=torch.float64)
    place = ((pixels - first) / step).clamp(0, cells - 1)
    return (1 - (place[:, None] - torch.arange(cells)).abs()).clamp(min=0)
