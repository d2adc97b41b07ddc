"""How a layer's output lies as a feature map (N, C, h, w): channels first, channels last or tokens.

Tokens before the first place, such as a class token, are kept beside the map.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ORDERS = ("NCHW", "NHWC", "NTC", "NCT", "TNC")
_MOST_PREFIX_TOKENS = 9  # a class token and eight registers


@dataclass(frozen=True)
class Layout:
    """The axes of a layer's output and the places of its feature map.

    order: one of ORDERS, of N images, C channels, H x W places or T tokens. grid: rows and columns
    of the places. prefix: number of tokens before the first place.
    """

    order: str
    grid: tuple[int, int]
    prefix: int = 0

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"layout: {self.order!r} is none of {', '.join(ORDERS)}")

    def sizes(self, shape: Sequence[int]) -> dict[str, int]:
        """Axis -> its length in an output of this shape."""
        return dict(zip(self.order, shape, strict=True))

    def holds(self, shape: Sequence[int], num_images: int) -> bool:
        """Whether an output for so many images may have this shape."""
        if len(shape) != len(self.order):
            return False
        sizes = self.sizes(shape)
        height, width = self.grid
        if len(shape) == 4:
            places = (sizes["H"], sizes["W"]) == self.grid and not self.prefix
        else:
            places = sizes["T"] == self.prefix + height * width
        return places and sizes["N"] == num_images

    def to_map(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """The feature map (N, C, h, w), and the prefix tokens (N, C, k) where there are any."""
        if self.order == "NCHW":
            return output, None
        if self.order == "NHWC":
            return output.permute(0, 3, 1, 2), None
        tokens = output.permute([self.order.index(axis) for axis in "NCT"])
        places = tokens[:, :, self.prefix :].unflatten(2, self.grid)
        return places, tokens[:, :, : self.prefix] if self.prefix else None

    def from_map(self, feature_map: Tensor, prefix_tokens: Tensor | None) -> Tensor:
        """The layer's output again, of what ``to_map`` gives."""
        if self.order == "NCHW":
            return feature_map
        if self.order == "NHWC":
            return feature_map.permute(0, 2, 3, 1)
        tokens = feature_map.flatten(2)
        if prefix_tokens is not None:
            tokens = torch.cat([prefix_tokens.to(tokens), tokens], 2)
        return tokens.permute(["NCT".index(axis) for axis in self.order])


def readings(shape: Sequence[int], images: Sequence[int]) -> list[Layout]:
    """All layouts in which an output of ``shape`` can be a feature map of images (N, 3, H, W)."""
    num, _, height, width = images
    found: list[Layout] = []
    for order in ORDERS:
        if len(order) != len(shape) or shape[order.index("N")] != num:
            continue
        if len(shape) == 4:
            grid = shape[order.index("H")], shape[order.index("W")]
            grids = [(grid, 0)] if _is_reduced(grid, (height, width)) else []
        else:
            grids = _grids(shape[order.index("T")], (height, width))
        if order == "NCT":  # a flattened feature map: class tokens join where channels are last
            grids = [(grid, prefix) for grid, prefix in grids if not prefix]
        if order != "TNC" or not found:  # few models put the images second
            found += [Layout(order, grid, prefix) for grid, prefix in grids]
    return found


def _grids(tokens: int, side: tuple[int, int]) -> list[tuple[tuple[int, int], int]]:
    """(grid, number of prefix tokens) of so many tokens of an image of (H, W).

    Of a square image there is never more than one.
    """
    whole, cut = _patched(side)
    for grids in (whole, cut):
        found: list[tuple[tuple[int, int], int]] = []
        for grid in grids:
            places = grid[0] * grid[1]
            prefix = tokens - places
            # So few registers that they are no further row and column of places.
            most = _MOST_PREFIX_TOKENS if 3 * prefix <= places else 1
            if places >= 4 and 0 <= prefix <= most:
                found.append((grid, prefix))
        if found:
            break
    return found


def _patched(side: tuple[int, int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The grids of square patches of an image of (H, W): that it is cut into, or all but a border.

    A square image may have any square grid.
    """
    height, width = side
    strides = range(1, max(side) + 1)
    if height == width:
        return [(stride, stride) for stride in strides], []
    whole = [(height // s, width // s) for s in strides if height % s == width % s == 0]
    cut = {(height // s, width // s) for s in strides}
    padded = {(-(-height // s), -(-width // s)) for s in strides}
    return whole, sorted(cut | padded)


def _is_reduced(grid: tuple[int, int], side: tuple[int, int]) -> bool:
    """Whether (h, w) may come of (H, W) by one stride for both, whose borders lose alike.

    What is lost is less than a stride where there is padding, and at most half of the image where
    there is none.
    """
    if side[0] == side[1]:
        return grid[0] == grid[1]
    for stride in (side[0] / max(grid[0], 1), *range(1, max(side) + 1)):
        lost = [whole - stride * part for whole, part in zip(side, grid, strict=True)]
        if abs(lost[0] - lost[1]) < stride and all(
            -stride < loss <= whole / 2 for loss, whole in zip(lost, side, strict=True)
        ):
            return True
    return False
