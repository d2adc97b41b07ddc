"""Sensitivity-N: exact for the contributions of a linear model, about zero for noise."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from evaluation.config import Baseline, SensitivityNConfig, SetSizes
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


SEEDS = [5, 6, 7, 8]
FEW = SensitivityNConfig(fractions=[0.05, 0.2], masks=10)


def test_the_published_set_sizes_are_those_of_its_code():
    config = SensitivityNConfig(sizes=SetSizes.published_code)
    assert set_sizes(config, 224).tolist() == PUBLISHED
    with pytest.raises(ValueError, match="224 px, not at 112: take sizes=fractions"):
        set_sizes(config, 112)


def test_set_sizes_are_fractions_of_the_pixels():
    assert set_sizes(SensitivityNConfig(), 224).tolist() == [1004, 2509, 5018, 10035, 20070]
    assert set_sizes(SensitivityNConfig(fractions=[0.5, 0.25]), 4).tolist() == [4, 8]


@pytest.mark.parametrize("fractions", [[], [0.0], [0.5, 1.0], [1e-9]])
def test_fractions_that_leave_no_pixel_or_all_are_refused(fractions):
    with pytest.raises(ValueError, match=r"evaluation\.sensitivity_n\.fractions"):
        set_sizes(SensitivityNConfig(fractions=fractions), SIDE)


def test_the_exact_contributions_of_a_linear_model_correlate_perfectly_at_every_n():
    config = SensitivityNConfig(masks=20, batch_size=33)
    score, images, weights = linear()
    contributions = (images * weights).sum(1).numpy()
    changes = output_changes(score, images, TARGETS, SEEDS, config)
    values = sensitivity_n(contributions, changes, SEEDS, config)
    assert values.shape == (4, 5)
    np.testing.assert_allclose(values, 1, atol=1e-9)


def test_with_the_blurred_baseline_the_exact_contributions_are_relative_to_it():
    config = SensitivityNConfig(masks=20, baseline=Baseline.blur)
    score, images, weights = linear()
    base = baseline_images(images, Baseline.blur, config.blur)
    exact = ((images - base) * weights).sum(1).numpy()
    changes = output_changes(score, images, TARGETS, SEEDS, config)
    np.testing.assert_allclose(sensitivity_n(exact, changes, SEEDS, config), 1, atol=1e-9)


def test_noise_correlates_about_zero():
    config = SensitivityNConfig(masks=200)
    score, images, _ = linear()
    noise = np.random.default_rng(3).normal(size=(4, SIDE, SIDE))
    changes = output_changes(score, images, TARGETS, SEEDS, config)
    values = sensitivity_n(noise, changes, SEEDS, config)
    # One film and n scatters by 1/sqrt(200) = 0.07 and by the films' own chance, 1/12.
    assert abs(values.mean()) < 0.08
    assert np.abs(values).max() < 0.5


def test_each_correlation_is_numpys_of_the_sums_and_the_changes():
    changes = np.random.default_rng(0).normal(size=(4, 2, 10))
    maps = np.random.default_rng(1).random((4, SIDE, SIDE)).astype(np.float32)
    values = sensitivity_n(maps, changes, SEEDS, FEW)
    for i, seed in enumerate(SEEDS):
        for k, masks in enumerate(random_masks(FEW, SIDE, seed)):
            sums = [maps[i].ravel()[mask].astype(float).sum() for mask in masks]
            assert values[i, k] == pytest.approx(np.corrcoef(sums, changes[i, k])[0, 1], abs=1e-9)


def test_masks_hold_n_pixels_and_depend_on_the_samples_seed_and_n_alone():
    masks = list(random_masks(FEW, SIDE, 3))
    for n, mask in zip(set_sizes(FEW, SIDE), masks, strict=True):
        assert (mask.sum(axis=1) == n).all()
    again = list(random_masks(replace(FEW, fractions=[0.2]), SIDE, 3))
    np.testing.assert_array_equal(masks[1], again[0])
    fewer = next(random_masks(replace(FEW, masks=3), SIDE, 3))
    np.testing.assert_array_equal(masks[0][:3], fewer)
    assert (masks[0] != next(random_masks(FEW, SIDE, 4))).any()


def test_a_film_has_the_same_changes_whoever_is_measured_with_it():
    score, images, _ = linear()
    together = output_changes(score, images, TARGETS, SEEDS, FEW)
    alone = output_changes(score, images[2:3], TARGETS[2:3], SEEDS[2:3], FEW)
    np.testing.assert_allclose(together[2], alone[0], rtol=1e-12)


def test_two_equal_films_have_masks_of_their_own():
    score, images, _ = linear()
    changes = output_changes(score, images[:1].repeat(2, 1, 1, 1), TARGETS[:2], [1, 2], FEW)
    assert not np.isclose(changes[0], changes[1]).any()


def test_every_pixel_is_drawn_as_often_as_any_other():
    config = SensitivityNConfig(fractions=[1 / 16], masks=4000)
    masks = next(random_masks(config, 4, 0))
    np.testing.assert_allclose(masks.mean(axis=0), 1 / 16, atol=0.016)


def test_a_map_or_an_output_without_variation_is_undefined_not_zero():
    changes = np.random.default_rng(0).normal(size=(2, 2, 10))
    changes[1] = 0.1
    maps = np.full((2, SIDE, SIDE), 0.3, dtype=np.float32)
    maps[1] = np.random.default_rng(0).random((SIDE, SIDE))
    assert np.isnan(sensitivity_n(maps, changes, SEEDS[:2], FEW)).all()


def test_changes_from_other_settings_are_refused():
    with pytest.raises(ValueError, match="10 masks: they come from other settings"):
        sensitivity_n(np.ones((2, SIDE, SIDE)), np.ones((2, 3, 11)), SEEDS[:2], FEW)


def test_per_sample_rows_hold_each_n_with_its_fraction():
    samples = pd.DataFrame({"sample": [3, 4], "patient": [1, 1]})
    values = np.arange(4).reshape(2, -1)
    frame = sensitivity_n_samples(samples, values, FEW, SIDE)
    assert frame["n"].tolist() == [7, 29, 7, 29]
    np.testing.assert_allclose(frame["fraction"], frame["n"] / 144)
    assert frame.loc[frame["sample"] == 4, "correlation"].tolist() == values[1].tolist()
    with pytest.raises(ValueError, match=r"of 2 samples, \d+ n"):
        sensitivity_n_samples(samples, values[:1], FEW, SIDE)
