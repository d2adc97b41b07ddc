"""Table 1 and its traces, the published numbers, and files of stable bytes."""

import numpy as np
import pandas as pd
import pytest

from evaluation.classification import BOXED
from evaluation.config import BootstrapConfig, LocalizationConfig
from evaluation.localization import BITS_PER_PIXEL, box_masks, iou_curve, threshold_grid
from evaluation.paper_tables import PAPER_VALUES, paper_value, table1, table2, write_csv

BOX_COUNTS = (180, 146, 153, 123, 85, 79, 120, 98)  # rows of the official box file, as BOXED
THRESHOLDS = threshold_grid(99)


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.uniform(50, 500, size=(80, 4)), columns=["x", "y", "w", "h"])
    frame.insert(0, "sample", range(80))
    frame.insert(1, "image", [f"{k:08d}_000.png" for k in range(80)])
    frame.insert(2, "patient", rng.integers(45, size=80))
    frame.insert(3, "finding", rng.choice(BOXED[:3], size=80, p=(0.6, 0.3, 0.1)))
    return frame


@pytest.fixture(scope="module")
def result(samples):
    truth = box_masks(samples, 32)
    noise = np.random.default_rng(1).random(truth.shape).astype(np.float32)
    curves = {
        "iba": iou_curve(truth + 0.8 * noise, truth, THRESHOLDS),
        "grad_cam": iou_curve(truth.astype(np.float32), truth, THRESHOLDS),
        "whole_image": iou_curve(np.ones_like(noise), truth, THRESHOLDS),
        "random": iou_curve(noise, truth, THRESHOLDS),
    }
    return table1(
        samples, curves, THRESHOLDS, LocalizationConfig(), BootstrapConfig(resamples=300), seed=0
    )


def test_each_row_of_table_1_is_the_mean_of_its_per_sample_rows(result):
    table, per_sample = result
    for row in table.itertuples():
        own = per_sample[per_sample["method"] == row.method]
        assert row.iou == pytest.approx(own["iou"].mean())
        assert row.iou_macro == pytest.approx(own.groupby("finding")["iou"].mean().mean())
        assert row.threshold == pytest.approx(own["threshold"].mean())
        assert set(own.loc[own["fold"] == "a", "threshold"]) == {row.threshold_a}
        assert set(own.loc[own["fold"] == "b", "threshold"]) == {row.threshold_b}
        assert (row.n, row.n_patients) == (len(own), own["patient"].nunique())
        assert own["sample"].is_unique
        assert row.ci_low <= row.iou <= row.ci_high


def test_planted_truth_has_iou_one_and_the_whole_image_the_area_fraction(result, samples):
    table = result[0].set_index("method")
    assert table.loc["grad_cam", ["iou", "ci_low", "ci_high"]].tolist() == [1, 1, 1]
    area = box_masks(samples, 32).mean(axis=(1, 2))
    assert table.loc["whole_image", "iou"] == pytest.approx(area.mean())
    assert table.loc["random", "iou"] < table.loc["iba", "iou"] < 1


def test_the_columns_rule_and_paper_values_are_those_of_the_contract(result):
    table = result[0]
    contract = "method,rule,threshold,paper,iou,ci_low,ci_high,n,n_patients,primary"
    assert ",".join(table.columns[:10]) == contract
    assert set(table["rule"]) == {"cross_fitted"}
    assert table["primary"].all()
    np.testing.assert_array_equal(table["paper"], [0.114, 0.077, np.nan, np.nan])


def test_rows_of_another_rule_say_so_and_are_not_primary(samples):
    truth = box_masks(samples, 32)
    curves = {"iba": iou_curve(0.01 * truth, truth, BITS_PER_PIXEL, scale=1)}
    table, _ = table1(
        samples, curves, BITS_PER_PIXEL, LocalizationConfig(), BootstrapConfig(resamples=50),
        seed=0, rule="cross_fitted_bits",
    )  # fmt: skip
    row = table.iloc[0]
    assert (row["rule"], row["primary"], row["iou"]) == ("cross_fitted_bits", False, 1.0)
    assert row["threshold"] == pytest.approx(1e-4)


def test_table_1_without_methods_is_refused(samples):
    with pytest.raises(ValueError, match="one method at least"):
        table1(samples, {}, THRESHOLDS, LocalizationConfig(), BootstrapConfig(), seed=0)


def test_table_2_is_table_1_of_each_detector_and_place_without_what_has_no_zone_there(samples):
    detectors = np.where(np.arange(80) < 60, "Detector2", "Detector3")
    samples = samples.assign(finding=detectors)
    samples.loc[60:, "patient"] = 99  # nobody to choose his thresholds on
    truth = box_masks(samples, 32)
    curve = iou_curve(np.ones(truth.shape, np.float32), truth, THRESHOLDS)
    without = curve.copy()
    without[:7] = np.nan
    curves = {"whole_image": {"mask_predicted": without, "box_true": curve}}
    rules = (THRESHOLDS, LocalizationConfig(), BootstrapConfig(resamples=50), 0)
    table, per_sample, left_out = table2(samples, curves, *rules)
    assert left_out == ["Detector3, mask_predicted", "Detector3, box_true"]
    assert list(table["detector"]) == ["Detector2"] * 2
    assert list(table["region"] + table["lungs"]) == ["maskpredicted", "boxtrue"]
    assert list(table["n"]) == [53, 60]
    assert list(table["primary"]) == [True, False]
    assert table["iou"].tolist() == pytest.approx([curve[7:60, 0].mean(), curve[:60, 0].mean()])
    assert set(per_sample.loc[per_sample["lungs"] == "predicted", "sample"]) == set(range(7, 60))


def test_table_2_has_the_papers_number_of_its_detector(samples):
    samples = samples.assign(finding="Detector2")
    half = {"mask_predicted": np.full((80, 99), 0.5)}
    curves = {"inverse_iba": half, "multilayer_iba": half}
    rules = (THRESHOLDS, LocalizationConfig(), BootstrapConfig(resamples=50), 0)
    table = table2(samples, curves, *rules)[0]
    assert table["primary"].tolist() == [True, False]  # the paper intersects binary maps
    np.testing.assert_array_equal(table["paper"], [0.245, np.nan])
    with pytest.raises(ValueError, match="table 2 needs a detector"):
        table2(samples.assign(patient=1), curves, *rules)


@pytest.mark.parametrize(("loss", "mean"), [("bce", 0.024), ("weighted_bce", 0.065)])
def test_the_published_means_of_table_3_are_its_columns_weighted_by_boxes(loss, mean):
    columns = [paper_value("table3", loss, finding) for finding in BOXED]
    assert round(np.average(columns, weights=BOX_COUNTS), 3) == mean
    assert paper_value("table3", loss, "Mean") == mean
    assert round(np.mean(columns), 3) != mean


def test_the_published_log_gives_the_means_that_the_paper_prints():
    values = pd.read_csv(PAPER_VALUES)
    log = values[(values["source"] == "published_log") & ~values["row"].str.endswith("mean8")]
    for column, mean, mean8 in (("auc", 0.790, 0.774), ("ap", 0.243, 0.304)):
        per_class = log[log["column"] == column]["value"]
        assert len(per_class) == 14
        assert (
            round(per_class.mean(), 3) == mean == paper_value("classification", "bce/mean", column)
        )
        boxed = [paper_value("classification", f"bce/{finding}", column) for finding in BOXED]
        assert round(np.mean(boxed), 3) == mean8
        assert paper_value("classification", "bce/mean8", column) == mean8


def test_published_numbers_are_listed_once_and_found_by_our_names():
    values = pd.read_csv(PAPER_VALUES)
    assert not values.duplicated(["table", "row", "column"]).any()
    assert set(values["source"]) == {"paper", "published_log"}
    assert values["table"].value_counts().to_dict() == {
        "table1": 7, "table2": 21, "table3": 18, "classification": 34, "pcc": 3,
    }  # fmt: skip
    assert paper_value("table1", "multilayer_iba", "iou") == 0.189
    assert paper_value("table2", "Detector3", "inverse_iba") == 0.243
    assert paper_value("pcc", "regression_iba_mse", "pcc") == 0.4766
    assert np.isnan(paper_value("table1", "class_prior", "iou"))
    with pytest.raises(ValueError, match="no table 'table9'"):
        paper_value("table9", "iba", "iou")


def test_a_csv_has_six_digits_and_na_and_the_same_bytes_each_time(tmp_path, result):
    frame = pd.DataFrame(
        {"method": ["a", "b"], "iou": [1 / 3, np.nan], "n": [25596, 1], "primary": [True, False]}
    )
    write_csv(frame, tmp_path / "small.csv")
    expected = b"method,iou,n,primary\na,0.333333,25596,True\nb,n/a,1,False\n"
    assert (tmp_path / "small.csv").read_bytes() == expected
    for name in ("one.csv", "two.csv"):
        write_csv(result[0], tmp_path / name)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    read = pd.read_csv(tmp_path / "one.csv")
    np.testing.assert_allclose(read["iou"], result[0]["iou"], rtol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.csv", "small.csv", "two.csv"]
