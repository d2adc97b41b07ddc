"""Every number of a table is the mean of its per-sample rows, and every row counts them."""

import numpy as np
import pandas as pd
import pytest

from evaluation.bootstrap import patient_bootstrap
from evaluation.config import BootstrapConfig
from evaluation.correlation import pcc_samples, pooled_correlation
from evaluation.html_tables import view_table
from evaluation.sample_means import (
    against_random,
    fig2_table,
    mean_table,
    pcc_table,
    rule_table,
    sensitivity_n_table,
    table3,
)

CONFIG = BootstrapConfig(resamples=200)
COUNTS = ["n", "n_patients", "n_nan"]


def long_rows(seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.MultiIndex.from_product(
        [["iba", "random"], ["pointing", "mass_in_box"], range(40)],
        names=["method", "metric", "sample"],
    ).to_frame(index=False)
    frame["patient"] = frame["sample"] // 2
    return frame.assign(value=rng.random(len(frame)))


def test_each_row_is_the_mean_and_interval_of_its_own_samples():
    samples = long_rows()
    table = mean_table(samples, ["method", "metric"], CONFIG, seed=3)
    assert list(table) == ["method", "metric", "value", "ci_low", "ci_high", *COUNTS]
    assert table["method"].tolist() == ["iba", "iba", "random", "random"]
    for row in table.itertuples():
        own = samples[(samples["method"] == row.method) & (samples["metric"] == row.metric)]
        assert row.value == pytest.approx(own["value"].mean())
        interval = patient_bootstrap(own["value"], own["patient"], CONFIG, seed=3)
        assert (row.ci_low, row.ci_high) == interval
        assert (row.n, row.n_patients, row.n_nan) == (40, 20, 0)


def test_undefined_samples_are_left_out_and_counted():
    samples = long_rows()
    samples.loc[:5, "value"] = np.nan
    samples.loc[samples["method"] == "random", "value"] = np.nan
    table = mean_table(samples, ["method", "metric"], CONFIG, seed=0)
    assert table.loc[0, COUNTS].tolist() == [34, 17, 6]
    assert table.loc[0, "value"] == pytest.approx(samples["value"][6:40].mean())
    assert table.loc[2, COUNTS].tolist() == [0, 0, 40]
    assert table.loc[2, ["value", "ci_low", "ci_high"]].isna().all()
    with pytest.raises(ValueError, match="by method needs one per-sample row"):
        mean_table(samples.head(0), ["method"], CONFIG, seed=0)


def test_rules_without_a_fitted_threshold_stand_beside_table_1():
    rng = np.random.default_rng(0)
    samples = pd.DataFrame(
        {
            "method": np.repeat(["iba", "gradient"], 40),
            "patient": np.tile(np.arange(40) // 2, 2),
            "finding": np.tile(["Mass", "Nodule", "Nodule", "Nodule"], 20),
            "iou_fixed_0.3": rng.random(80),
            "iou_box_area": rng.random(80),
        }
    )
    table = rule_table(samples, CONFIG, seed=0)
    contract = "method,rule,threshold,paper,iou,ci_low,ci_high,n,n_patients,primary,iou_macro"
    assert ",".join(table.columns) == contract
    assert table[["method", "rule"]].to_numpy().tolist() == [
        ["iba", "fixed"], ["iba", "box_area"],
        ["gradient", "fixed"], ["gradient", "box_area"],
    ]  # fmt: skip
    np.testing.assert_array_equal(table["threshold"], [0.3, np.nan, 0.3, np.nan])
    own = samples[:40]
    assert table.loc[1, "iou"] == pytest.approx(own["iou_box_area"].mean())
    assert table.loc[1, "iou_macro"] == pytest.approx(
        own.groupby("finding")["iou_box_area"].mean().mean()
    )
    assert not table["primary"].any()


def test_fig_2_has_both_areas_with_their_intervals_per_method_and_baseline():
    rng = np.random.default_rng(0)
    samples = pd.MultiIndex.from_product(
        [["nih"], ["iba", "random"], ["blur", "zero"], range(30)],
        names=["dataset", "method", "baseline", "sample"],
    ).to_frame(index=False)
    samples = samples.assign(
        patient=samples["sample"],
        insertion_auc=rng.random(len(samples)),
        deletion_auc=rng.random(len(samples)),
        score=0.8,
        blank=np.where(samples["baseline"] == "blur", 0.4, 0.1),
        insertion_relative=rng.random(len(samples)),
        deletion_relative=np.where(samples["sample"] < 10, np.nan, 0.25),
    )
    table = fig2_table(samples, CONFIG, seed=0)
    games = [f"{g}_{c}" for g in ("insertion", "deletion") for c in ("auc", "ci_low", "ci_high")]
    assert list(table)[:11] == ["dataset", "method", "baseline", "score", "blank", *games]
    assert list(table)[-4:] == ["n_drop", *COUNTS]
    assert table[["score", "blank"]].iloc[:2].to_numpy().round(12).tolist() == [
        [0.8, 0.4],
        [0.8, 0.1],
    ]
    assert set(table["deletion_relative"]) == {0.25}
    assert table[["n", "n_drop"]].drop_duplicates().to_numpy().tolist() == [[30, 20]]
    own = samples[(samples["method"] == "random") & (samples["baseline"] == "blur")]
    row = table[(table["method"] == "random") & (table["baseline"] == "blur")].iloc[0]
    assert row["insertion_auc"] == pytest.approx(own["insertion_auc"].mean())
    assert row["deletion_auc"] == pytest.approx(own["deletion_auc"].mean())
    assert row["deletion_ci_low"] < row["deletion_auc"] < row["deletion_ci_high"]
    assert "deletion auc [interval]" in [h.text for h in view_table(table).headers]


def test_sensitivity_n_has_a_row_per_n_and_counts_its_samples_apart_from_n():
    samples = pd.DataFrame(
        {
            "method": "iba",
            "sample": np.repeat(range(30), 2),
            "patient": np.repeat(range(30), 2),
            "n": [1, 100] * 30,
            "fraction": [0.01, 1.0] * 30,
            "correlation": [np.nan, 0.5] + [0.1, 0.5] * 29,
        }
    )
    table = sensitivity_n_table(samples, CONFIG, seed=0)
    assert list(table)[:6] == ["method", "n", "fraction", "correlation", "ci_low", "ci_high"]
    assert table[["n", "n_samples", "n_nan"]].to_numpy().tolist() == [[1, 29, 1], [100, 30, 0]]
    assert table["correlation"].tolist() == pytest.approx([0.1, 0.5])


@pytest.fixture(scope="module")
def losses():
    rng = np.random.default_rng(0)
    frame = pd.MultiIndex.from_product(
        [["bce", "weighted_bce"], ["cross_fitted", "fixed_0.5"], [0, 1], range(60)],
        names=["loss", "rule", "seed", "sample"],
    ).to_frame(index=False)
    findings = np.array(["Mass"] * 40 + ["Nodule"] * 20)
    return frame.assign(
        patient=frame["sample"] // 2,
        finding=findings[frame["sample"]],
        iou=rng.random(len(frame)) * (1 + (frame["sample"] < 40)),
    )


def test_table_3_has_every_pathology_the_mean_over_boxes_and_the_mean_over_pathologies(losses):
    table = table3(losses, CONFIG, seed=0)
    assert list(table)[:7] == ["loss", "pathology", "rule", "paper", "iou", "ci_low", "ci_high"]
    rows = table[(table["loss"] == "bce") & (table["rule"] == "fixed_0.5")].set_index("pathology")
    own = losses[(losses["loss"] == "bce") & (losses["rule"] == "fixed_0.5")]
    per_finding = own.groupby("finding")["iou"].mean()
    assert list(rows.index) == ["Mass", "Nodule", "Mean", "MacroMean"]
    assert rows["iou"].tolist() == pytest.approx(
        [*per_finding, own["iou"].mean(), per_finding.mean()]
    )
    assert rows["n"].tolist() == [40, 20, 60, 60]
    assert rows["n_patients"].tolist() == [20, 10, 30, 30]
    assert set(table["seeds"]) == {2}
    assert rows["paper"].tolist()[:3] == [0.102, 0.011, 0.024]
    assert ((rows["ci_low"] < rows["iou"]) & (rows["iou"] < rows["ci_high"])).all()


def test_seeds_of_table_3_with_other_samples_are_refused(losses):
    with pytest.raises(ValueError, match="2 seeds of bce, cross_fitted do not hold the same"):
        table3(losses.drop(index=0), CONFIG, seed=0)
    with pytest.raises(ValueError, match="one loss at least"):
        table3(losses.head(0), CONFIG, seed=0)


def test_the_correlation_table_has_means_and_pooled_values_of_both_areas():
    rng = np.random.default_rng(0)
    zones = np.zeros((8, 6, 6), dtype=int)
    zones[:, 1:5, 1:3], zones[:, 1:5, 3:5] = 1, 2
    scores = rng.integers((0, 1), (3, 5), size=(8, 2))
    samples = pd.DataFrame({"sample": range(8), "patient": [0, 0, 1, 1, 2, 2, 3, 3]})
    frames, sums = [], {}
    for method in ("regression_iba_mse", "random"):
        frame, sums[method] = pcc_samples(samples, rng.random((8, 6, 6)), zones, scores)
        frames.append(frame.assign(method=method))
    table = pcc_table(pd.concat(frames), sums, CONFIG, seed=0)
    assert list(table)[:6] == ["method", "variant", "paper", "pcc", "ci_low", "ci_high"]
    own = table[table["method"] == "random"].set_index("variant")
    assert list(own.index) == ["mean_film", "pooled_film", "mean_lungs", "pooled_lungs"]
    assert own.loc["mean_lungs", "pcc"] == pytest.approx(frames[1]["pcc_lungs"].mean())
    pooled = pooled_correlation(
        sums["random"]["film"], samples["patient"].to_numpy(), CONFIG, seed=0
    )
    assert own.loc["pooled_film", "pcc"] == pooled[0]
    assert own["paper"].dropna().to_dict() == {"mean_film": 0.0004}  # the paper's variant alone


def test_a_difference_from_random_is_paired_by_sample_and_undefined_where_random_was_not_run():
    samples = long_rows().assign(truth="lesion")
    random = samples["method"] == "random"
    of_random = samples[random].set_index(["metric", "sample"])["value"]
    keys = pd.MultiIndex.from_frame(samples.loc[~random, ["metric", "sample"]])
    samples.loc[~random, "value"] = of_random.loc[keys].to_numpy() + 0.25
    other = samples[~random].assign(truth="token")
    table = against_random(pd.concat([samples, other]).sample(frac=1, random_state=0), CONFIG, 0)
    table = table.set_index(["truth", "metric", "method"]).sort_index()
    for metric in ("pointing", "mass_in_box"):
        found = table.loc[("lesion", metric, "iba")]
        columns = ["difference", "difference_ci_low", "difference_ci_high"]
        np.testing.assert_allclose(found[columns].to_numpy(float), 0.25)
        assert table.loc[("lesion", metric, "random"), "difference"] == 0
        assert np.isnan(table.loc[("token", metric, "iba"), "difference"])


def test_a_table_of_no_rows_is_refused():
    with pytest.raises(ValueError, match="a table by method needs one per-sample row"):
        mean_table(long_rows().head(0), ["method"], CONFIG, seed=0)
    with pytest.raises(ValueError, match="no rule to make rows of"):
        rule_table(long_rows(), CONFIG, seed=0)
