"""Table 3's rules: who chooses a threshold, on which maps, and what a map's scale can change."""

import numpy as np
import pandas as pd
import pytest

from evaluation.localization import BITS_PER_PIXEL, cross_fit, iou_curve, threshold_grid
from evaluation.loss_comparison import RULES, TIMES_MEAN, table3_samples

RELATIVE = threshold_grid(19)
NUM, SIDE = 30, 8


@pytest.fixture(scope="module")
def maps():
    """Two models' maps of the same boxes, the second of a tenth of the bits."""
    rng = np.random.default_rng(0)
    truth = rng.random((NUM, SIDE, SIDE)) < 0.3
    truth[:, 0, 0] = True
    heat = {
        "bce": rng.random(truth.shape) + 0.8 * truth,
        "weighted_bce": 0.1 * (rng.random(truth.shape) + 0.8 * truth),
    }
    return heat, truth


@pytest.fixture(scope="module")
def samples():
    return pd.DataFrame(
        {
            "sample": range(NUM),
            "image": "film.png",
            "patient": np.arange(NUM) // 2,
            "finding": ["Mass", "Nodule"] * (NUM // 2),
        }
    )


def curves_of(heat, truth):
    grids = {
        "threshold_per_model": lambda m: iou_curve(m, truth, RELATIVE),
        "shared_threshold": lambda m: iou_curve(m, truth, BITS_PER_PIXEL, scale=1),
        "matched_bits": lambda m: iou_curve(m, truth, TIMES_MEAN, scale=float(m.mean())),
    }
    return {rule: {loss: of(m) for loss, m in heat.items()} for rule, of in grids.items()}


def rows_of(samples, heat, truth):
    precision = {loss: np.full(NUM, 0.5) for loss in heat}
    return table3_samples(samples, curves_of(heat, truth), RELATIVE, precision, 3, seed=7)


def test_every_box_stands_once_under_each_rule_and_loss(samples, maps):
    rows = rows_of(samples, *maps)
    assert rows.groupby(["loss", "rule"]).size().eq(NUM).all()
    assert set(rows["rule"]) == set(RULES)
    assert set(rows["seed"]) == {7}
    precision = rows[rows["rule"] == "average_precision"]
    assert precision["threshold"].isna().all()
    assert (precision["iou"] == 0.5).all()


def test_a_threshold_per_model_is_the_cross_fit_of_its_own_maps(samples, maps):
    rows = rows_of(samples, *maps)
    for loss, heat in maps[0].items():
        fitted = cross_fit(iou_curve(heat, maps[1], RELATIVE), samples["patient"], RELATIVE, 3)
        own = rows[(rows["rule"] == "threshold_per_model") & (rows["loss"] == loss)]
        np.testing.assert_array_equal(own["iou"], fitted.iou)
        np.testing.assert_array_equal(own["threshold"], fitted.thresholds)


@pytest.mark.parametrize("rule", ["shared_threshold", "matched_bits"])
def test_a_shared_threshold_is_the_best_of_all_models_on_the_other_patients(samples, maps, rule):
    rows = rows_of(samples, *maps)
    rows = rows[rows["rule"] == rule]
    curves = curves_of(*maps)[rule]
    grid = {"shared_threshold": BITS_PER_PIXEL, "matched_bits": TIMES_MEAN}[rule]
    folds = cross_fit(curves["bce"], samples["patient"], grid, 3).folds
    for fold in "ab":
        applied = rows.loc[rows["sample"].isin(np.flatnonzero(folds == fold)), "threshold"]
        others = np.concatenate([curve[folds != fold] for curve in curves.values()])
        assert set(applied) == {grid[others.mean(axis=0).argmax()]}


def test_only_a_shared_threshold_in_bits_depends_on_how_many_bits_a_model_has(samples, maps):
    heat, truth = maps
    doubled = heat | {"weighted_bce": 4 * heat["weighted_bce"]}
    before, after = (rows_of(samples, h, truth).set_index("rule") for h in (heat, doubled))
    for rule in ("threshold_per_model", "matched_bits"):
        np.testing.assert_allclose(before.loc[rule, "iou"], after.loc[rule, "iou"])
    assert (before.loc["shared_threshold", "iou"] != after.loc["shared_threshold", "iou"]).any()
