"""Insertion and deletion: a model that is a weighted sum in closed form, torchcam, the preset."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from evaluation.config import (
    Baseline,
    CurveRule,
    InsertionDeletionConfig,
    published_insertion_deletion,
)
from evaluation.insertion_deletion import (
    Curves,
    end_scores,
    insertion_deletion_samples,
    schedule,
)
from evaluation.insertion_deletion import insertion_deletion as games
from evaluation.perturbation import baseline_images


def insertion_deletion(score, images, targets, maps, baseline, config):
    ends = end_scores(score, images, targets, config)
    return games(score, images, targets, maps, ends, baseline, config)


SIDE, NUM = 8, 3
PIXELS = SIDE * SIDE
TARGETS = torch.zeros(NUM, dtype=torch.int64)
# At 8 px so many steps that each changes one pixel.
PIXEL_BY_PIXEL = InsertionDeletionConfig(steps=PIXELS * 224 // SIDE, batch_size=50)


def weighted_sum():
    """A linear scorer, random films in float64, and each pixel's exact contribution (N, H, W)."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    images = torch.randn(NUM, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return lambda x, t: (x * weights).sum((1, 2, 3)), images, (images * weights).sum(1)


def auc(curve, config=PIXEL_BY_PIXEL, side=SIDE):
    return curve @ schedule(config, side).weights


def test_the_curves_of_a_weighted_sum_are_its_cumulated_contributions():
    score, images, contributions = weighted_sum()
    curves = insertion_deletion(
        score, images, TARGETS, contributions, Baseline.zero, PIXEL_BY_PIXEL
    )
    ranked = -np.sort(-contributions.flatten(1).numpy(), axis=1)
    inserted = np.pad(np.cumsum(ranked, axis=1), ((0, 0), (1, 0)))
    np.testing.assert_allclose(curves.insertion, inserted, atol=1e-12)
    np.testing.assert_allclose(curves.deletion, ranked.sum(1)[:, None] - inserted, atol=1e-12)
    np.testing.assert_allclose(curves.film, ranked.sum(1), atol=1e-12)


def test_the_areas_of_a_weighted_sum_have_their_closed_form():
    score, images, contributions = weighted_sum()
    curves = insertion_deletion(
        score, images, TARGETS, contributions, Baseline.zero, PIXEL_BY_PIXEL
    )
    ranked = -np.sort(-contributions.flatten(1).numpy(), axis=1)
    present = PIXELS - np.arange(PIXELS) - 0.5  # steps during which a pixel is there
    np.testing.assert_allclose(auc(curves.insertion), ranked @ present / PIXELS, atol=1e-12)
    np.testing.assert_allclose(auc(curves.deletion), ranked @ (PIXELS - present) / PIXELS)


@pytest.mark.parametrize("baseline", list(Baseline))
def test_reversing_a_map_swaps_insertion_and_deletion(baseline):
    score, images, contributions = weighted_sum()
    maps = contributions + 0.1
    plain = insertion_deletion(score, images, TARGETS, maps, baseline, PIXEL_BY_PIXEL)
    reverse = insertion_deletion(score, images, TARGETS, -maps, baseline, PIXEL_BY_PIXEL)
    np.testing.assert_allclose(auc(plain.insertion), auc(reverse.deletion), atol=1e-12)
    np.testing.assert_allclose(auc(plain.deletion), auc(reverse.insertion), atol=1e-12)


def test_the_perfect_map_beats_every_random_permutation():
    score, images, contributions = weighted_sum()
    config = InsertionDeletionConfig(steps=16 * 224 // SIDE)
    best = insertion_deletion(score, images, TARGETS, contributions, Baseline.zero, config)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        permuted = contributions.flatten(1)[:, torch.randperm(PIXELS, generator=generator)]
        other = insertion_deletion(
            score, images, TARGETS, permuted.view_as(contributions), Baseline.zero, config
        )
        assert (auc(best.insertion, config) > auc(other.insertion, config)).all()
        assert (auc(best.deletion, config) < auc(other.deletion, config)).all()


def test_both_games_start_and_end_at_the_film_and_the_baseline():
    score, images, _ = weighted_sum()
    config = InsertionDeletionConfig()
    curves = insertion_deletion(
        score, images, TARGETS, torch.rand(NUM, SIDE, SIDE), Baseline.blur, config
    )
    blurred = score(baseline_images(images, Baseline.blur, config.blur), TARGETS)
    for first, last in ((curves.insertion, curves.deletion), (curves.deletion, curves.insertion)):
        np.testing.assert_allclose(first[:, 0], last[:, -1])
    np.testing.assert_allclose(curves.insertion[:, 0], blurred)
    np.testing.assert_allclose(curves.insertion[:, -1], curves.film)


def test_pixels_of_one_value_go_in_the_order_of_their_index():
    score, images, contributions = weighted_sum()
    curves = insertion_deletion(
        score, images, TARGETS, torch.ones_like(contributions), Baseline.zero, PIXEL_BY_PIXEL
    )
    in_order = contributions.flatten(1).cumsum(1)
    np.testing.assert_allclose(curves.insertion[:, 1:], in_order, atol=1e-12)


def test_a_film_scores_the_same_whoever_shares_its_micro_batch():
    score, images, contributions = weighted_sum()
    config = InsertionDeletionConfig(batch_size=7)
    together = insertion_deletion(score, images, TARGETS, contributions, Baseline.blur, config)
    for i in range(NUM):
        rows = slice(i, i + 1)
        alone = insertion_deletion(
            score, images[rows], TARGETS[rows], contributions[rows], Baseline.blur, config
        )
        np.testing.assert_allclose(alone.deletion[0], together.deletion[i], rtol=1e-12)


def test_no_more_films_than_the_micro_batch_are_scored_at_once():
    sizes = []

    def score(images, targets):
        sizes.append(len(images))
        return images.mean((1, 2, 3))

    _, images, contributions = weighted_sum()
    config = InsertionDeletionConfig(batch_size=5, steps=300, baselines=[Baseline.zero])
    insertion_deletion(score, images, TARGETS, contributions, Baseline.zero, config)
    states = len(schedule(config, SIDE).counts)
    assert max(sizes) == 5
    assert sum(sizes) == NUM * 2 * (states - 1)  # film and baseline serve both games


def test_one_step_leads_from_the_film_to_the_baseline():
    score, images, contributions = weighted_sum()
    config = InsertionDeletionConfig(steps=1)
    curves = insertion_deletion(score, images, TARGETS, contributions, Baseline.zero, config)
    film, blank = score(images, TARGETS), score(torch.zeros_like(images), TARGETS)
    np.testing.assert_allclose(curves.deletion, torch.stack([film, blank], 1), atol=1e-6)
    np.testing.assert_allclose(curves.insertion, torch.stack([blank, film], 1), atol=1e-6)


def test_curves_and_areas_agree_with_torchcam():
    metrics = pytest.importorskip("torchcam.metrics")
    methods = pytest.importorskip("torchcam.methods")
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * PIXELS, 5)
    ).eval()
    images, targets = torch.randn(4, 3, SIDE, SIDE), [1, 0, 4, 2]
    with methods.GradCAM(model, "0") as extractor:
        oracle = metrics.DeletionInsertionMetric(extractor, torch.sigmoid, steps=16)
        oracle.update(images, targets)
        (maps,) = extractor(targets, model(images))
    curves = insertion_deletion(
        lambda x, t: model(x).gather(1, t[:, None])[:, 0].sigmoid(),
        images,
        torch.tensor(targets),
        maps.detach(),
        Baseline.zero,
        config := InsertionDeletionConfig(steps=16 * 224 // SIDE),
    )
    summary = oracle.summary()
    assert auc(curves.insertion, config).mean() == pytest.approx(summary["insertion_auc"], abs=1e-5)
    assert auc(curves.deletion, config).mean() == pytest.approx(summary["deletion_auc"], abs=1e-5)


def test_the_published_area_is_the_trapezoid_over_its_1004_scores():
    config = published_insertion_deletion()
    plan = schedule(config, 224)
    assert plan.counts.tolist() == [*range(2000, 24001, 2000), 25088]
    states = np.random.default_rng(0).random(13)
    scores = np.repeat(states, [80] * 12 + [44])  # what the published list holds
    assert len(scores) == 1004
    assert states @ plan.weights == pytest.approx(np.trapezoid(scores, dx=1 / 1004))
    assert states @ plan.weights == pytest.approx(scores.mean(), abs=1e-3)


def test_the_published_preset_refuses_another_side_and_says_what_to_take():
    with pytest.raises(ValueError, match=r"224 px, not at 112: take rule=full"):
        schedule(published_insertion_deletion(), 112)


def test_the_published_preset_runs_at_224():
    score, targets = (lambda x, t: x.mean((1, 2, 3))), torch.zeros(1, dtype=torch.int64)
    config = published_insertion_deletion()
    images, maps = torch.rand(1, 3, 224, 224), torch.rand(1, 224, 224)
    curves = insertion_deletion(score, images, targets, maps, Baseline.blur, config)
    assert curves.deletion.shape == (1, 13)
    assert config.rule is CurveRule.published_code


def test_maps_that_do_not_fit_the_films_are_refused():
    score, images, contributions = weighted_sum()
    for maps in (contributions[:1], contributions[:, :4]):
        with pytest.raises(ValueError, match="do not fit images"):
            insertion_deletion(score, images, TARGETS, maps, Baseline.zero, PIXEL_BY_PIXEL)


@pytest.mark.parametrize(("side", "states"), [(224, 49), (112, 25), (64, 15), (2, 2), (1, 2)])
def test_the_number_of_steps_scales_with_the_side(side, states):
    plan = schedule(InsertionDeletionConfig(steps=48), side)
    assert len(plan.counts) == states
    assert (plan.counts[0], plan.counts[-1]) == (0, side * side)
    assert plan.weights.sum() == pytest.approx(1)


def test_per_sample_rows_hold_the_areas_and_drop_scores_below_the_filter():
    config = InsertionDeletionConfig(steps=2 * 224 // SIDE, min_score=0.6)
    states = schedule(config, SIDE)
    np.testing.assert_allclose(states.weights, [0.25, 0.5, 0.25])
    ends = np.array([0.6, 0.5]), np.array([0.2, 0.0])
    curves = Curves(*ends, np.array([[0, 1, 1.0]] * 2), np.array([[1, 0, 0.0]] * 2))
    samples = pd.DataFrame({"sample": [4, 5], "patient": [1, 2]})
    frame = insertion_deletion_samples(samples, curves, config, SIDE)
    assert frame.round(12).to_dict("list") == {
        "sample": [4], "patient": [1], "score": [0.6], "blank": [0.2],
        "insertion_auc": [0.75], "insertion_relative": [1.375],
        "deletion_auc": [0.25], "deletion_relative": [0.125],
    }  # fmt: skip
    with pytest.raises(ValueError, match="1 samples, but curves of 2"):
        insertion_deletion_samples(samples.head(1), curves, config, SIDE)


def test_relative_areas_of_the_two_games_of_a_linear_fall_are_half():
    config = InsertionDeletionConfig()
    state = np.linspace(0, 1, len(schedule(config, 224).counts))
    film, blank = np.array([0.9, 0.4]), np.array([0.1, 0.3])
    falling = film[:, None] + (blank - film)[:, None] * state
    curves = Curves(film, blank, falling[:, ::-1], falling)
    frame = insertion_deletion_samples(pd.DataFrame({"sample": [0, 1]}), curves, config, 224)
    relative = frame[["insertion_relative", "deletion_relative"]].to_numpy()
    np.testing.assert_allclose(relative, 0.5, atol=1e-4)


@pytest.mark.parametrize("blank", [0.46, 0.5, 0.8])
def test_a_film_whose_score_does_not_fall_has_no_relative_area(blank):
    config = InsertionDeletionConfig(steps=2 * 224 // SIDE)
    states = np.array([[blank, 0.5, 0.5]])
    curves = Curves(np.array([0.5]), np.array([blank]), states, states[:, ::-1])
    frame = insertion_deletion_samples(pd.DataFrame({"sample": [0]}), curves, config, SIDE)
    assert frame[["insertion_relative", "deletion_relative"]].isna().all(axis=None)
    assert frame[["insertion_auc", "deletion_auc"]].notna().all(axis=None)


def test_the_ends_are_the_scores_of_the_film_and_of_each_baseline():
    score, images, _ = weighted_sum()
    ends = end_scores(score, images, TARGETS, InsertionDeletionConfig(batch_size=2))
    assert list(ends) == ["film", "blur", "zero"]
    blurred = baseline_images(images, Baseline.blur, InsertionDeletionConfig().blur)
    for name, films in (("film", images), ("blur", blurred), ("zero", 0 * images)):
        np.testing.assert_allclose(ends[name], score(films, TARGETS), atol=1e-12)
