"""Runs beside each other: the settings that differ, seeds pooled, samples paired."""

import numpy as np
import pandas as pd
import pytest

from evaluation.comparison import (
    SHAPES,
    claims_side_by_side,
    config_differences,
    paired_differences,
    seed_groups,
    side_by_side,
    table3_over_seeds,
)
from evaluation.config import BootstrapConfig

BOOTSTRAP = BootstrapConfig(resamples=400)


def config(seed=0, beta=10, **others):
    return {"seed": seed, "name": "demo", "attribution": {"iba": {"beta": beta}}, **others}


def test_only_settings_that_differ_are_shown_by_their_path():
    table = config_differences({"a": config(), "b": config(beta=20), "c": config(extra=None)})
    assert table["setting"].tolist() == ["attribution.iba.beta"]
    assert table.iloc[0].tolist() == ["attribution.iba.beta", "10", "20", "10"]


def test_runs_that_differ_in_the_seed_alone_are_one_group():
    configs = {"a": config(0), "b": config(1), "c": config(0, beta=20), "d": config(2)}
    assert seed_groups(configs) == {"a": ["a", "b", "d"], "c": ["c"]}


def table1(**iou):
    return pd.DataFrame(
        {"method": list(iou), "rule": "cross_fitted", "threshold": 0.3, "iou": list(iou.values())}
    )


def test_a_row_that_one_run_lacks_is_shown_empty_and_seeds_become_mean_and_deviation():
    tables = {"a": table1(iba=0.1, lrp=0.3), "b": table1(iba=0.2), "c": table1(iba=0.5, random=0.4)}
    shown = side_by_side(SHAPES["table1"], tables, {"a": ["a", "b"], "c": ["c"]})
    assert shown["method"].tolist() == ["iba", "lrp", "random"]
    assert list(shown) == ["method", "rule", "threshold", "a", "a sd", "c"]
    np.testing.assert_allclose(shown["a"], [0.15, 0.3, np.nan])
    np.testing.assert_allclose(shown["a sd"], [np.std([0.1, 0.2], ddof=1), np.nan, np.nan])
    np.testing.assert_allclose(shown["c"], [0.5, np.nan, 0.4])


def samples(shift, count=40, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "method": "iba",
            "metric": "pointing",
            "image": [f"{k}.png" for k in range(count)],
            "finding": "Mass",
            "patient": np.arange(count) // 2,
            "value": rng.normal(0, 1, count) + shift,
        }
    )


def test_a_difference_is_that_of_the_same_samples():
    shape = SHAPES["localization"]
    shuffled = samples(0.25).sample(frac=1, random_state=3)
    found = paired_differences(shape, {"a": samples(0), "b": shuffled}, 0.95).iloc[0]
    assert found["run"] == "b"
    assert found["difference"] == pytest.approx(0.25)
    assert found["ci_low"] == pytest.approx(0.25)  # the noise is common to both
    assert (found["n"], found["n_patients"]) == (40, 20)


def test_samples_that_one_run_lacks_do_not_count():
    shape = SHAPES["localization"]
    runs = {"a": samples(0), "b": samples(0.25).head(10)}
    assert paired_differences(shape, runs, 0.95)["n"].tolist() == [10]


def trained(seed, iou, drop=0):
    frame = pd.DataFrame(
        {
            "loss": "bce",
            "rule": "matched_bits",
            "seed": seed,
            "sample": np.arange(12),
            "patient": np.arange(12) // 2,
            "finding": ["Mass", "Nodule"] * 6,
            "iou": iou + np.linspace(0, 0.1, 12),
        }
    )
    return frame.iloc[drop:]


def test_table3_over_seeds_has_the_mean_over_seeds_and_their_deviation():
    runs = [trained(seed, iou) for seed, iou in enumerate((0.1, 0.2, 0.6))]
    table = table3_over_seeds(runs, BOOTSTRAP, seed=0).set_index("pathology")
    assert table.loc["Mean", "iou"] == pytest.approx(0.3 + 0.05)
    assert table.loc["Mean", "seed_sd"] == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1))
    assert (table["seeds"] == 3).all()


def test_table3_over_seeds_counts_the_boxes_that_every_run_has():
    table = table3_over_seeds([trained(0, 0.1), trained(1, 0.1, drop=4)], BOOTSTRAP, seed=0)
    assert table.set_index("pathology").loc["Mean", "n"] == 8
    with pytest.raises(ValueError, match="differ in the seed"):
        table3_over_seeds([trained(0, 0.1), trained(0, 0.1)], BOOTSTRAP, seed=0)
    late = trained(1, 0.1).assign(patient=99)
    with pytest.raises(ValueError, match="no box in common"):
        table3_over_seeds([trained(0, 0.1), late], BOOTSTRAP, seed=0)


def test_a_table_without_per_sample_rows_has_no_paired_differences():
    with pytest.raises(ValueError, match="no per-sample rows to pair"):
        paired_differences(SHAPES["classification"], {"a": samples(0)}, 0.95)


def test_tasks_of_one_table_are_compared_each_with_itself():
    shape = SHAPES["equal_area"]
    alone = samples(0).assign(metric="change_0.1")
    other = alone.assign(task="detectors", value=alone["value"] + 10)
    both = pd.concat([alone.assign(task="findings", value=alone["value"] + 1), other])
    runs = {"a": both, "b": alone}
    means = side_by_side(shape, {"a": both.head(1), "b": alone.head(1)}, {"a": ["a"], "b": ["b"]})
    assert means["task"].tolist() == ["findings"]
    found = paired_differences(shape, runs, 0.95)
    assert found["task"].tolist() == ["findings"]
    assert found["difference"].tolist() == pytest.approx([-1])
    found = paired_differences(shape, {"a": both, "b": both}, 0.95)
    assert found["task"].tolist() == ["findings", "detectors"]
    assert found["n"].tolist() == [len(alone)] * 2


def test_the_claims_of_runs_stand_side_by_side_with_verdict_and_difference():
    first = pd.DataFrame(
        {
            "number": [1, 2],
            "claim": ["one", "two"],
            "verdict": ["holds", "not judged"],
            "reason": ["", "would need 9 patients, has 3"],
            "difference": [0.125, np.nan],
        }
    )
    other = first.assign(verdict="fails", difference=-0.5)
    found = claims_side_by_side({"a": first, "b": other.head(1)})
    assert found["a"].tolist() == ["holds (+0.125)", "not judged (would need 9 patients, has 3)"]
    assert found["b"].tolist()[0] == "fails (-0.5)"
