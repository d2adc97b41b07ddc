"""Sensitivity-N: exact for the contributions of a linear model, about zero for noise."""

import numpy as np
import pandas as pd
import pytest
import torch

from evaluation.config import Baseline, SensitivityNConfig
from evaluation.perturbation import baseline_images
from evaluation.sensitivity_n import (
    output_changes,
    random_masks,
    sensitivity_n,
    sensitivity_n_samples,
    set_sizes,
)

PUBLISHED = [
    1, 2, 3, 4, 5, 7, 9, 11, 14, 17, 22, 27, 34, 42, 53, 66, 82, 103, 128, 160, 200, 250, 311, 388,
    484, 604, 754, 940, 1173, 1463, 1824, 2275, 2838, 3539, 4414, 5505, 6866, 8563, 10680, 13319,
    16611, 20716, 25837, 32222, 40186, 50118,
]  # fmt: skip
SIDE = 12
TARGETS = torch.zeros(4, dtype=torch.int64)


def linear():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    images = torch.randn(4, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return lambda x, t: (x * weights).sum((1, 2, 3)), images, weights


def test_at_224_px_the_set_sizes_are_the_published_list():
    assert set_sizes(50, 224).tolist() == PUBLISHED


def test_elsewhere_the_set_sizes_are_the_same_fractions_of_the_pixels():
    sizes = set_sizes(50, 112)
    assert sizes[0] == 1
    assert sizes[-1] == round(50118 / 4)
    assert (np.diff(sizes) > 0).all()


@pytest.mark.parametrize("points", [50, 7])
def test_the_exact_contributions_of_a_linear_model_correlate_perfectly_at_every_n(points):
    config = SensitivityNConfig(points=points, masks=20, batch_size=33)
    score, images, weights = linear()
    contributions = (images * weights).sum(1).numpy()
    changes = output_changes(score, images, TARGETS, config)
    values = sensitivity_n(contributions, changes, config)
    assert values.shape == (4, len(set_sizes(points, SIDE)))
    np.testing.assert_allclose(values, 1, atol=1e-9)


def test_with_the_blurred_baseline_the_exact_contributions_are_relative_to_it():
    config = SensitivityNConfig(points=6, masks=20, baseline=Baseline.blur)
    score, images, weights = linear()
    base = baseline_images(images, Baseline.blur, config.blur)
    exact = ((images - base) * weights).sum(1).numpy()
    changes = output_changes(score, images, TARGETS, config)
    np.testing.assert_allclose(sensitivity_n(exact, changes, config), 1, atol=1e-9)


def test_noise_correlates_about_zero():
    config = SensitivityNConfig(points=20, masks=200)
    score, images, _ = linear()
    noise = np.random.default_rng(3).normal(size=(4, SIDE, SIDE))
    changes = output_changes(score, images, TARGETS, config)
    values = sensitivity_n(noise, changes, config)
    # One film and n scatters by 1/sqrt(200) = 0.07 and by the films' own chance, 1/12.
    assert abs(values.mean()) < 0.08
    assert np.abs(values).max() < 0.5


def test_each_correlation_is_numpys_of_the_sums_and_the_changes():
    config = SensitivityNConfig(points=5, masks=15)
    changes = np.random.default_rng(0).normal(size=(4, len(set_sizes(5, SIDE)), 15))
    maps = np.random.default_rng(1).random((4, SIDE, SIDE)).astype(np.float32)
    values = sensitivity_n(maps, changes, config)
    for k, masks in enumerate(random_masks(config, SIDE)):
        for i in range(4):
            sums = [maps[i].ravel()[mask].astype(float).sum() for mask in masks]
            assert values[i, k] == pytest.approx(np.corrcoef(sums, changes[i, k])[0, 1], abs=1e-9)


def test_masks_hold_n_pixels_and_depend_on_the_seed_and_n_alone():
    config = SensitivityNConfig(points=12, masks=9)
    masks = list(random_masks(config, SIDE))
    for n, mask in zip(set_sizes(12, SIDE), masks, strict=True):
        assert (mask.sum(axis=1) == n).all()
    again = list(random_masks(SensitivityNConfig(points=12, masks=9), SIDE))
    assert all((a == b).all() for a, b in zip(masks, again, strict=True))
    fewer = next(random_masks(SensitivityNConfig(points=12, masks=3), SIDE))
    np.testing.assert_array_equal(masks[0][:3], fewer)
    other = next(random_masks(SensitivityNConfig(points=12, masks=9, seed=1), SIDE))
    assert (masks[0] != other).any()


def test_every_pixel_is_drawn_as_often_as_any_other():
    config = SensitivityNConfig(points=2, masks=4000)
    masks = next(random_masks(config, 4))
    np.testing.assert_allclose(masks.mean(axis=0), 1 / 16, atol=0.016)


def test_a_map_or_an_output_without_variation_is_undefined_not_zero():
    config = SensitivityNConfig(points=4, masks=10)
    changes = np.random.default_rng(0).normal(size=(2, len(set_sizes(4, SIDE)), 10))
    changes[1] = 0.1
    maps = np.full((2, SIDE, SIDE), 0.3, dtype=np.float32)
    maps[1] = np.random.default_rng(0).random((SIDE, SIDE))
    assert np.isnan(sensitivity_n(maps, changes, config)).all()


def test_changes_from_other_settings_are_refused():
    config = SensitivityNConfig(points=4, masks=10)
    with pytest.raises(ValueError, match="10 masks: they come from other settings"):
        sensitivity_n(np.ones((2, SIDE, SIDE)), np.ones((2, 3, 11)), config)


def test_per_sample_rows_hold_each_n_with_its_fraction():
    samples = pd.DataFrame({"sample": [3, 4], "patient": [1, 1]})
    sizes = set_sizes(4, SIDE)
    values = np.arange(2 * len(sizes)).reshape(2, -1)
    frame = sensitivity_n_samples(samples, values, 4, SIDE)
    assert frame["n"].tolist() == [*sizes, *sizes]
    np.testing.assert_allclose(frame["fraction"], frame["n"] / 144)
    assert frame.loc[frame["sample"] == 4, "correlation"].tolist() == values[1].tolist()
    with pytest.raises(ValueError, match=r"of 2 samples, \d+ n"):
        sensitivity_n_samples(samples, values[:1], 4, SIDE)
