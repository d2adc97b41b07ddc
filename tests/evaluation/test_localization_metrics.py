"""Threshold-free localisation against scikit-learn, brute force and planted truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from evaluation.config import LocalizationMetricsConfig
from evaluation.localization_metrics import (
    effective_heat_ratio,
    localization_metrics,
    weaker_share,
)

CONFIG = LocalizationMetricsConfig()


def metrics(maps, truth, config=CONFIG):
    return localization_metrics(np.asarray(maps, np.float32), truth, config)


def scene(seed, side=12, coarse=False):
    rng = np.random.default_rng(seed)
    maps = rng.random((3, side, side)).astype(np.float32)
    maps = np.round(maps * 4) / 4 if coarse else maps
    truth = rng.random((3, side, side)) < 0.3
    truth[:, 0, 0] = True
    return maps, truth


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), coarse=st.booleans())
def test_average_precision_is_scikit_learns(seed, coarse):
    maps, truth = scene(seed, coarse=coarse)
    expected = [
        average_precision_score(t.ravel(), m.ravel()) for m, t in zip(maps, truth, strict=True)
    ]
    np.testing.assert_allclose(metrics(maps, truth)["average_precision"], expected, rtol=1e-12)


def test_without_ties_the_ranked_metrics_equal_brute_force():
    maps, truth = scene(0)
    frame = metrics(maps, truth, LocalizationMetricsConfig(area=0.25))
    for i, (m, t) in enumerate(zip(maps.reshape(3, -1), truth.reshape(3, -1), strict=True)):
        order = np.argsort(-m)
        size = t.sum()
        top = np.zeros_like(t)
        top[order[:size]] = True
        row = frame.loc[i]
        assert row["relevance_rank"] == pytest.approx((top & t).sum() / size)
        assert row["iou_box_area"] == pytest.approx((top & t).sum() / (top | t).sum())
        assert row["pointing"] == t[order[0]]
        assert row["mass_in_box"] == pytest.approx(m[t].sum() / m.sum(), rel=1e-5)
        assert row["recall_at_area"] == pytest.approx(t[order[:36]].sum() / size)


def test_equal_values_count_as_the_mean_over_all_their_orders():
    maps, truth = scene(1, side=4, coarse=True)
    frame = metrics(maps, truth)
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(16), (400, 3, 1)), axis=2)
    drawn = [metrics(maps + 1e-4 * order.reshape(maps.shape), truth) for order in orders]
    for name in ("pointing", "relevance_rank"):
        means = np.mean([d[name] for d in drawn], axis=0)
        np.testing.assert_allclose(frame[name], means, atol=0.08)


def test_a_constant_map_scores_the_area_of_the_truth():
    truth = scene(2)[1]
    frame = metrics(np.ones(truth.shape), truth)
    area = truth.mean(axis=(1, 2))
    for name in ("average_precision", "mass_in_box", "pointing", "relevance_rank"):
        np.testing.assert_allclose(frame[name], area)
    np.testing.assert_allclose(frame["effective_heat_ratio"], area)
    np.testing.assert_allclose(frame["recall_at_area"], CONFIG.area)


def test_a_map_that_is_the_truth_is_perfect_by_every_metric():
    truth = np.zeros((1, 10, 10), bool)
    truth[0, 2:4, 3:8] = True  # a tenth of the film
    frame = metrics(truth, truth)
    assert (frame == 1).all(axis=None)


def test_a_map_without_positive_values_has_no_mass_and_no_heat():
    truth = np.eye(5, dtype=bool)[None]
    frame = metrics(-np.ones((1, 5, 5)), truth)
    assert frame[["mass_in_box", "effective_heat_ratio"]].isna().all(axis=None)
    assert frame["pointing"].tolist() == [0.2]


def test_fixed_thresholds_are_shares_of_the_maximum():
    maps, truth = scene(4)
    config = LocalizationMetricsConfig(fixed_thresholds=[0.6, 0.2])
    frame = metrics(maps * 7, truth, config)
    for t in (0.2, 0.6):
        predicted = [m / m.max() > t for m in maps.astype(np.float64)]
        expected = [(p & g).sum() / (p | g).sum() for p, g in zip(predicted, truth, strict=True)]
        np.testing.assert_allclose(frame[f"iou_fixed_{t}"], expected)


def plain_heat_ratio(heat, truth, base=0.1):
    """The published steps, one by one, with heat over heat."""
    heat = heat.astype(np.float64) / heat.max()
    heat = np.where(heat < base, 0, heat)
    ratios = []
    for q in np.linspace(0, 1, 11):
        mask = heat >= min(np.quantile(heat[heat > 0], q), 0.99)
        ratios.append(heat[mask & truth].sum() / heat[mask].sum())
    return np.trapezoid(ratios, np.linspace(0, 1, 11))


@pytest.mark.parametrize("coarse", [False, True])
def test_the_effective_heat_ratio_equals_its_steps_one_by_one(coarse):
    for m, t in zip(*scene(5, coarse=coarse), strict=True):
        assert effective_heat_ratio(m, t, CONFIG) == pytest.approx(plain_heat_ratio(m, t))


def test_no_metric_depends_on_the_scale_of_the_map():
    maps, truth = scene(6)
    plain, scaled = metrics(maps, truth), metrics(maps * 2.0**-9, truth)
    np.testing.assert_allclose(plain, scaled, rtol=1e-6)


def test_maps_that_are_not_finite_and_empty_truths_are_refused_by_name():
    truth = np.zeros((1, 4, 4), bool)
    with pytest.raises(ValueError, match="film_3"):
        localization_metrics(np.ones((1, 4, 4)), truth, CONFIG, ["film_3"])
    with pytest.raises(ValueError, match="film_3"):
        localization_metrics(np.full((1, 4, 4), np.nan), ~truth, CONFIG, ["film_3"])


def test_the_weaker_share_is_half_where_both_regions_weigh_alike_and_0_where_one_is_left_out():
    first, second = np.zeros((2, 4, 4, 6), dtype=bool)
    first[:, 1:3, :2], second[:, 1:3, 4:] = True, True
    maps = np.zeros((4, 4, 6))
    maps[0, 1:3] = 7.0
    maps[1][first[1]] = 2.0
    maps[2][first[2]], maps[2][second[2]] = 3.0, 1.0
    maps[3, 0, 3], maps[3][first[3]] = 9.0, -1.0
    np.testing.assert_allclose(weaker_share(maps, first, second), [0.5, 0, 0.25, np.nan])
