"""Ranks, baselines and scores of films with pixels replaced."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from evaluation.config import Baseline, BlurConfig
from evaluation.perturbation import baseline_images, check_images, pixel_ranks, replaced_scores


def test_ranks_are_those_of_a_stable_sort_ties_by_index():
    maps = torch.tensor([[[0.0, 2.0], [2.0, 1.0]], [[5.0, 5.0], [5.0, 5.0]]])
    assert pixel_ranks(maps).tolist() == [[3, 0, 1, 2], [0, 1, 2, 3]]
    coarse = torch.randint(4, (3, 9, 9), generator=torch.Generator().manual_seed(0)).float()
    expected = np.argsort(np.argsort(-coarse.flatten(1).numpy(), kind="stable"), kind="stable")
    np.testing.assert_array_equal(pixel_ranks(coarse).numpy(), expected)
    with pytest.raises(ValueError, match="NaN"):
        pixel_ranks(torch.full((1, 2, 2), torch.nan))


def test_the_blur_equals_scipys_with_mirrored_edges_and_scales_with_the_side():
    images = torch.rand(2, 3, 112, 112, dtype=torch.float64)
    blurred = baseline_images(images, Baseline.blur, BlurConfig())
    expected = gaussian_filter(  # torchvision's reflect is scipy's mirror; 41 px at half the side
        images.numpy(), 5.0, radius=20, mode="mirror", axes=(2, 3)
    )
    np.testing.assert_allclose(blurred.numpy(), expected, atol=1e-10)


def test_the_zero_baseline_is_the_mean_grey_of_normalised_films():
    assert not baseline_images(torch.rand(1, 3, 4, 4), Baseline.zero, BlurConfig()).any()


def test_replaced_pixels_are_the_baselines_in_every_channel():
    images, base = torch.rand(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    mask = torch.rand(5, 16) < 0.5
    rows = torch.tensor([0, 1, 1, 0, 0])
    seen = []

    def score(x, t):
        seen.append(x)
        return x.sum((1, 2, 3))

    replaced_scores(score, images, torch.zeros(2), base, rows, lambda part: mask[part], 2)
    expected = images[rows] * ~mask.view(5, 1, 4, 4)
    torch.testing.assert_close(torch.cat(seen), expected)


def test_a_score_that_is_not_finite_names_its_sample():
    images = torch.stack([torch.zeros(3, 2, 2), torch.full((3, 2, 2), torch.inf)])
    with pytest.raises(FloatingPointError, match=r"sample\(s\) \[1\]"):
        replaced_scores(
            lambda x, t: x.sum((1, 2, 3)),
            images,
            torch.zeros(2),
            images,
            torch.tensor([0, 1]),
            lambda part: torch.zeros(2, 4, dtype=torch.bool)[part],
            8,
        )


def test_maps_of_another_size_than_the_films_are_refused():
    with pytest.raises(ValueError, match=r"maps \(2, 3, 3\) do not fit"):
        check_images(torch.rand(2, 3, 4, 4), torch.zeros(2), torch.rand(2, 3, 3))
    with pytest.raises(ValueError, match="N > 0"):
        check_images(torch.rand(0, 3, 4, 4), torch.zeros(0))


def test_a_scorer_that_gives_more_than_one_number_a_film_is_refused():
    images, rows = torch.rand(2, 3, 4, 4), torch.arange(2)
    nothing = torch.zeros(2, 16, dtype=torch.bool)
    with pytest.raises(ValueError, match="one number per film"):
        replaced_scores(
            lambda x, t: x.mean((2, 3)), images, rows, images, rows, lambda p: nothing[p], 8
        )


@pytest.mark.parametrize("blur", [BlurConfig(sigma=0), BlurConfig(kernel=-3)])
def test_a_blur_without_width_is_refused(blur):
    with pytest.raises(ValueError, match="both must be > 0"):
        baseline_images(torch.rand(1, 3, 8, 8), Baseline.blur, blur)
