"""RISE: the score of films that are seen through random masks (Petsiuk et al. 2018)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from attribution.base import (
    Attribution,
    ScoredModel,
    ScoreFunction,
    TappedModel,
    check_batch,
    frozen,
    generators,
)
from attribution.config import RISEConfig
from attribution.precision import in_float32, without_autocast


class RISE:
    """By how much the score is higher where a pixel is seen than on average, in its units.

    The paper's sum_i S(x m_i) m_i / (N p), less that of the mean score: a constant but for the
    chance in the masks, so that 0 means no effect and scores of either sign have a map. What a mask
    hides is mean grey. Diagnostics per image: score; masked_score, the mean over the masks.
    """

    def __init__(self, config: RISEConfig) -> None:
        self.config = config

    def __call__(
        self,
        model: TappedModel,
        images: Tensor,
        targets: Tensor,
        *,
        score: ScoreFunction,
        seeds: Sequence[int],
    ) -> Attribution:
        check_batch(images, targets, seeds)
        scored = ScoredModel(model, score, images)
        with frozen(model), without_autocast(images), torch.no_grad():
            scores = scored(images, targets)
            found = [
                self._explain(scored, image, target, generator)
                for image, target, generator in zip(
                    in_float32(images).split(1), targets.split(1), generators(seeds), strict=True
                )
            ]
        maps, means = (torch.stack(each) for each in zip(*found, strict=True))
        return Attribution(
            maps.float().cpu(), {"score": scores.float().cpu(), "masked_score": means.float().cpu()}
        )

    def _explain(
        self, scored: ScoredModel, image: Tensor, target: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The map (H, W) of an image (1, 3, H, W), and its mean score, both float64."""
        number, size = self.config.masks, (image.shape[2], image.shape[3])
        grids, shifts = draw_cells(self.config, size, generator)
        weighted, covered = torch.zeros((2, *size), dtype=torch.float64, device=image.device)
        total = torch.zeros((), dtype=torch.float64, device=image.device)
        step = self.config.internal_batch_size
        for start in range(0, number, step):
            some = slice(start, start + step)
            masks = smooth_masks(grids[some].to(image.device), shifts[some], size)
            scores = scored(image * masks[:, None], target.expand(len(masks))).double()
            weighted += torch.einsum("n,nhw->hw", scores, masks.double())
            covered += masks.double().sum(0)
            total += scores.sum()
        mean = total / number
        return (weighted - mean * covered) / (number * self.config.probability), mean


def draw_cells(
    config: RISEConfig, size: tuple[int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Open cells (M, cells, cells), 1 or 0, and by how many pixels each mask is shifted (M, 2)."""
    grids = torch.rand((config.masks, config.cells, config.cells), generator=generator)
    shares = torch.rand((config.masks, 2), generator=generator)
    cell = torch.tensor([math.ceil(length / config.cells) for length in size])
    return (grids < config.probability).float(), (shares * cell).long()


def smooth_masks(grids: Tensor, shifts: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (M, H, W) in [0, 1]: the cells, enlarged bilinearly to one cell more than the image,
    and of that the part that begins at the shift."""
    height, width = size
    cells = grids.shape[1]
    enlarged = [(cells + 1) * math.ceil(length / cells) for length in size]
    whole = F.interpolate(grids[:, None], enlarged, mode="bilinear", align_corners=False)[:, 0]
    return torch.stack(
        [
            mask[top : top + height, left : left + width]
            for mask, (top, left) in zip(whole, shifts.tolist(), strict=True)
        ]
    )
