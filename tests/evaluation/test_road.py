"""Noisy linear imputation against a dense solution and closed forms."""

import numpy as np
import pandas as pd
import pytest
import torch

from evaluation.config import ROADConfig
from evaluation.road import impute, road, road_samples

TARGETS = torch.tensor([0, 1])


def dense_imputation(image, removed):
    """Each removed pixel as the mean of its neighbours, 1/6 or 1/12 each, over those it has."""
    height, width = removed.shape
    where = {tuple(p): k for k, p in enumerate(np.argwhere(removed))}
    system, known = np.zeros((len(where), len(where))), np.zeros((len(where), len(image)))
    for (i, j), k in where.items():
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                at = (i + di, j + dj)
                if (di, dj) == (0, 0) or not (0 <= at[0] < height and 0 <= at[1] < width):
                    continue
                weight = 1 / 12 if di and dj else 1 / 6
                system[k, k] += weight
                if at in where:
                    system[k, where[at]] -= weight
                else:
                    known[k] += weight * image[:, at[0], at[1]]
    result = image.copy()
    result[:, removed] = np.linalg.solve(system, known).T
    return result


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_the_imputation_solves_the_publications_system(share):
    rng = np.random.default_rng(0)
    image, removed = rng.random((3, 9, 7)), rng.random((9, 7)) < share
    removed[4, 3] = False
    np.testing.assert_allclose(impute(image, removed), dense_imputation(image, removed), atol=1e-12)


def test_a_linear_ramp_is_restored_exactly_inside_the_film():
    ramp = np.add.outer(2.0 * np.arange(20), np.arange(20))[None]
    removed = np.zeros((20, 20), bool)
    removed[3:17, 4:15] = True
    np.testing.assert_allclose(impute(ramp, removed), ramp, atol=1e-9)


def test_a_film_without_any_pixel_left_is_refused():
    with pytest.raises(ValueError, match="every pixel is removed"):
        impute(np.ones((1, 4, 4)), np.ones((4, 4), bool))


def spot_scorer(x, t):
    return x[:, :, 5:8, 5:8].mean((1, 2, 3))


def test_a_map_of_what_the_model_sees_falls_fast_from_the_top_and_slowly_from_the_bottom():
    images = torch.zeros(2, 3, 16, 16)
    images[:, :, 5:8, 5:8] = 1
    right = torch.zeros(2, 16, 16)
    right[:, 5:8, 5:8] = 1
    config = ROADConfig(fractions=[0.1, 0.5, 0.9], noise_std=0.0, batch_size=4)
    morf, lerf = road(spot_scorer, images, TARGETS, right, [1, 2], config)
    assert morf.shape == lerf.shape == (2, 3)
    assert (lerf == 1).all()
    assert (morf < 0.1).all()
    reverse = road(spot_scorer, images, TARGETS, -right, [1, 2], config)
    assert (reverse[0] > 0.9).all()


def test_scores_belong_to_their_own_film_target_and_seed():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    maps = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(1))
    config = ROADConfig(fractions=[0.2, 0.6], batch_size=3)

    def score(x, t):
        return x.mean((1, 2, 3)) + 10 * t

    together = road(score, images, TARGETS, maps, [8, 9], config)
    for i in (0, 1):
        row = slice(i, i + 1)
        alone = road(score, images[row], TARGETS[row], maps[row], [8 + i], config)
        np.testing.assert_allclose(np.array(alone)[:, 0], np.array(together)[:, i], rtol=1e-5)
    other = road(score, images, TARGETS, maps, [8, 10], config)
    assert (other[0][0] == together[0][0]).all()
    assert (other[0][1] != together[0][1]).all()


def test_the_imputation_agrees_with_grad_cams():
    module = pytest.importorskip("pytorch_grad_cam.metrics.road")
    image = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0))
    keep = (torch.rand(12, 12, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    theirs = module.NoisyLinearImputer(noise=0.0)(image, keep).numpy()
    ours = impute(image.numpy(), keep.numpy() == 0)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_fractions_that_leave_nothing_are_refused_by_their_key():
    with pytest.raises(ValueError, match=r"evaluation\.road\.fractions"):
        road(
            spot_scorer, torch.rand(2, 3, 8, 8), TARGETS, torch.rand(2, 8, 8), [0, 1],
            ROADConfig(fractions=[1.0]),
        )  # fmt: skip


def test_per_sample_rows_are_means_over_the_fractions_and_their_gap():
    samples = pd.DataFrame({"sample": [0], "patient": [5]})
    frame = road_samples(samples, np.array([[0.2, 0.4]]), np.array([[0.9, 0.7]]))
    assert frame.set_index("metric")["value"].to_dict() == pytest.approx(
        {"road_morf": 0.3, "road_lerf": 0.8, "road_gap": 0.5}
    )
