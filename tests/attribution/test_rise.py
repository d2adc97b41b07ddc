"""RISE against the paper's sum, and the masks that it is taken over."""

import pytest
import torch

from attribution.base import SCORES
from attribution.config import RISEConfig, Score
from attribution.rise import RISE, draw_cells, smooth_masks

TARGETS = torch.tensor([0, 2, 1, 3])


def explain(model, images, targets=TARGETS, score=Score.logit, seeds=(1, 2, 3, 4), **settings):
    return RISE(RISEConfig(**settings))(
        model, images, targets, score=SCORES[score], seeds=list(seeds)
    )


def masks_of(seed, size, **settings):
    """All masks of a seed at once."""
    grids, shifts = draw_cells(RISEConfig(**settings), size, torch.Generator().manual_seed(seed))
    return smooth_masks(grids, shifts, size)


def test_the_map_is_the_papers_mean_of_the_masks_less_the_share_of_the_mean_score(
    classifier, images
):
    found = explain(classifier, images, masks=30, probability=0.4)
    for row in range(4):
        paper, mean, coverage = torch.zeros(32, 32), 0.0, torch.zeros(32, 32)
        for mask in masks_of(row + 1, (32, 32), masks=30, probability=0.4):
            with torch.no_grad():
                score = classifier(images[[row]] * mask)[0, TARGETS[row]]
            paper += score * mask / (30 * 0.4)
            coverage += mask / (30 * 0.4)
            mean += float(score) / 30
        torch.testing.assert_close(found.maps[row], paper - mean * coverage, rtol=1e-3, atol=1e-5)
        assert float(found.diagnostics["masked_score"][row]) == pytest.approx(mean, rel=1e-4)


class Corner(torch.nn.Module):
    """The one output is the mean of the top left quarter, and 100 for any film."""

    def forward(self, images):
        return 100 + images[:, 0, :16, :16].mean((1, 2))[:, None]


def test_what_raises_the_score_is_above_zero_and_the_rest_is_zero_but_for_chance():
    maps = explain(Corner(), torch.ones(4, 3, 32, 32), torch.zeros(4), Score.output).maps
    # Each pixel of the quarter is seen fully in place of half.
    assert maps[:, 4:12, 4:12].mean() > 0.05
    assert maps[:, 20:, 20:].mean().abs() < 0.005


def test_how_many_masks_a_forward_holds_changes_nothing(classifier, images):
    one, many = (
        explain(classifier, images, masks=20, internal_batch_size=size).maps for size in (1, 20)
    )
    torch.testing.assert_close(one, many, rtol=1e-3, atol=1e-6)


def test_another_seed_has_other_masks(classifier, images):
    first, second = (
        explain(classifier, images[[0, 0]], TARGETS[[0, 0]], seeds=seeds, masks=20).maps
        for seeds in ([5, 5], [5, 6])
    )
    torch.testing.assert_close(first[0], first[1])
    assert not torch.allclose(second[0], second[1])


def test_masks_are_smooth_between_0_and_1_and_open_as_often_as_asked():
    masks = masks_of(0, (64, 48), masks=2000, probability=0.3)
    assert masks.shape == (2000, 64, 48)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert float(masks.mean()) == pytest.approx(0.3, abs=0.01)
    cell = min(-(-64 // 7), -(-48 // 7))
    assert masks.diff(dim=1).abs().max() <= 1 / cell + 1e-6
    assert masks.diff(dim=2).abs().max() <= 1 / cell + 1e-6


def test_a_mask_without_shift_is_the_bilinear_enlargement_of_its_cells():
    """Two cells on 4 pixels: enlarged to 6, of which 4 stay; cell centres at 1 and 4."""
    grid = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    expected = torch.tensor([1.0, 1.0, 2 / 3, 1 / 3])[:, None].expand(4, 4)
    mask = smooth_masks(grid, torch.zeros(1, 2, dtype=torch.long), (4, 4))[0]
    torch.testing.assert_close(mask, expected)
    shifted = smooth_masks(grid, torch.tensor([[1, 0]]), (4, 4))[0]
    torch.testing.assert_close(shifted[:3], expected[1:])
