"""Every metric on maps, films and data sets at the edge: a defined number, or an error in words."""

import numpy as np
import pandas as pd
import pytest
import torch

from evaluation.bootstrap import patient_bootstrap
from evaluation.classification import classification_table
from evaluation.config import (
    Baseline,
    BootstrapConfig,
    EqualAreaConfig,
    InsertionDeletionConfig,
    LocalizationMetricsConfig,
    ROADConfig,
    SensitivityNConfig,
)
from evaluation.correlation import pcc_samples
from evaluation.equal_area import equal_area_changes
from evaluation.insertion_deletion import end_scores, insertion_deletion
from evaluation.localization import cross_fit, iou_curve
from evaluation.localization_metrics import localization_metrics, weaker_share
from evaluation.priors import class_prior
from evaluation.road import road
from evaluation.sanity import input_independence, spearman, ssim
from evaluation.sensitivity_n import output_changes, sensitivity_n
from evaluation.severity import severity_table

SIDE = 16
TRUTH = np.zeros((1, SIDE, SIDE), bool)
TRUTH[:, 2:6, 3:9] = True
MAPS = {
    "zeros": np.zeros((1, SIDE, SIDE), np.float32),
    "negative": np.full((1, SIDE, SIDE), -1, np.float32),
    "constant": np.full((1, SIDE, SIDE), 3, np.float32),
    "one pixel": np.eye(1, SIDE * SIDE, 5, dtype=np.float32).reshape(1, SIDE, SIDE),
    "tiny": np.random.default_rng(0).random((1, SIDE, SIDE)).astype(np.float32) * 1e-38,
    "huge": np.random.default_rng(1).random((1, SIDE, SIDE)).astype(np.float32) * 1e38,
}
BAD = {
    "NaN": np.full((1, SIDE, SIDE), np.nan, np.float32),
    "infinity": np.full((1, SIDE, SIDE), np.inf, np.float32),
    "one NaN": np.where(MAPS["one pixel"] > 0, np.nan, np.float32(1)),
}
FILMS = {  # normalised black and saturated films, and one between
    "black": torch.full((1, 3, SIDE, SIDE), -2.1),
    "saturated": torch.full((1, 3, SIDE, SIDE), 2.6),
    "noise": torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)),
}
TARGET = torch.zeros(1, dtype=torch.int64)
BOOTSTRAP = BootstrapConfig(resamples=20)
ZONES = (np.arange(SIDE * SIDE).reshape(1, SIDE, SIDE) % 7).astype(np.uint8)
SCORES = np.array([[0, 1, 2, 3, 0, 1]])
SENSITIVITY = SensitivityNConfig(fractions=[0.1, 0.4], masks=4)
STEPS = InsertionDeletionConfig(steps=4 * 224 // SIDE)


def score(films: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return films.mean(dim=(1, 2, 3)).sigmoid()


def of_map(heat: np.ndarray, film: torch.Tensor) -> dict[str, object]:
    """Every metric of one map of one film."""
    maps = torch.from_numpy(heat)
    changes = output_changes(score, film, TARGET, [0], SENSITIVITY)
    ends = end_scores(score, film, TARGET, STEPS)
    curves = insertion_deletion(score, film, TARGET, maps, ends, Baseline.blur, STEPS)
    return {
        "iou": iou_curve(heat, TRUTH, [0.0, 0.5]),
        "localization": localization_metrics(heat, TRUTH, LocalizationMetricsConfig()).to_numpy(),
        "weaker": weaker_share(heat, TRUTH, ~TRUTH),
        "curves": np.r_[curves.insertion[0], curves.deletion[0]],
        "equal area": equal_area_changes(score, film, TARGET, maps, EqualAreaConfig()),
        "road": np.r_[road(score, film, TARGET, maps, [0], ROADConfig(fractions=[0.5]))],
        "sensitivity": sensitivity_n(heat, changes, [0], SENSITIVITY),
        "ssim": ssim(heat, heat, 7),
        "spearman": spearman(heat, heat),
        "independence": input_independence(heat.__getitem__, [0], [0]),
        "pcc": pcc_samples(pd.DataFrame({"sample": [0]}), heat, ZONES, SCORES)[0].to_numpy(float),
    }


# NaN stands for undefined in a table, and only these may be so.
UNDEFINED = {
    "zeros": {"localization", "weaker", "sensitivity", "ssim", "spearman", "pcc"},
    "negative": {"localization", "weaker", "sensitivity", "ssim", "spearman", "pcc"},
    "constant": {"sensitivity", "ssim", "spearman", "pcc"},
    "one pixel": {"sensitivity", "pcc"},
    "tiny": set(),
    "huge": set(),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("film", FILMS)
@pytest.mark.parametrize("name", MAPS)
def test_a_map_at_the_edge_has_defined_metrics_without_a_warning(name: str, film: str) -> None:
    found = of_map(MAPS[name], FILMS[film])
    undefined = {metric for metric, values in found.items() if np.isnan(values).any()}
    # A film of one grey changes by nothing or by rounding, whatever is blurred.
    assert undefined - {"sensitivity"} <= UNDEFINED[name] | {"independence"}
    assert "independence" in undefined  # one film has no other patient's to be compared with
    assert all(not np.isinf(values).any() for values in found.values())


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(
    "metric",
    [
        lambda heat: iou_curve(heat, TRUTH, [0.5]),
        lambda heat: localization_metrics(heat, TRUTH, LocalizationMetricsConfig()),
        lambda heat: weaker_share(heat, TRUTH, ~TRUTH),
        lambda heat: sensitivity_n(heat, np.zeros((1, 2, 4)), [0], SENSITIVITY),
        lambda heat: spearman(heat, heat),
        lambda heat: ssim(heat, MAPS["huge"], 7),
        lambda heat: ssim(MAPS["huge"], heat, 7),
        lambda heat: insertion_deletion(
            score,
            FILMS["noise"],
            TARGET,
            torch.from_numpy(heat),
            end_scores(score, FILMS["noise"], TARGET, STEPS),
            Baseline.blur,
            STEPS,
        ),
        lambda heat: input_independence(heat.__getitem__, [0], [0]),
        lambda heat: pcc_samples(pd.DataFrame({"sample": [0]}), heat, ZONES, SCORES),
        lambda heat: equal_area_changes(
            score, FILMS["noise"], TARGET, torch.from_numpy(heat), EqualAreaConfig()
        ),
        lambda heat: road(
            score, FILMS["noise"], TARGET, torch.from_numpy(heat), [0], ROADConfig(fractions=[0.5])
        ),
    ],
)
def test_a_map_that_is_not_finite_is_refused_by_every_metric(metric, name: str) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        metric(BAD[name])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_answers_no_number_is_an_error_that_names_the_sample(value: float) -> None:
    def broken(films: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.full((len(films),), value)

    maps = torch.from_numpy(MAPS["one pixel"])
    config = ROADConfig(fractions=[0.5])
    for metric in (
        lambda: equal_area_changes(broken, FILMS["noise"], TARGET, maps, EqualAreaConfig()),
        lambda: road(broken, FILMS["noise"], TARGET, maps, [0], config),
        lambda: output_changes(broken, FILMS["noise"], TARGET, [0], SENSITIVITY),
        lambda: end_scores(broken, FILMS["noise"], TARGET, STEPS),
    ):
        with pytest.raises(FloatingPointError, match=r"sample\(s\) \[0\]"):
            metric()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused_before_it_is_averaged(value: float) -> None:
    patients, labels = ["a", "b", "c"], np.array([[1], [0], [1]], np.uint8)
    numbers = [0.5, value, 0.7]
    scores = np.array(numbers)[:, None]
    with pytest.raises(ValueError, match="1 of 3 values are NaN or infinite"):
        patient_bootstrap(numbers, patients, BOOTSTRAP, 0)
    with pytest.raises(ValueError, match="scores of Mass hold NaN or infinity"):
        classification_table("nih", "bce", ["Mass"], labels, scores, patients, BOOTSTRAP, 0)
    with pytest.raises(ValueError, match="p: needs 3 finite scores"):
        severity_table("brixia", {"p": numbers}, [1.0, 2.0, 3.0], patients, BOOTSTRAP, 0)
    with pytest.raises(ValueError, match="a true score is NaN or infinite"):
        severity_table("brixia", {"p": [1.0, 2.0, 3.0]}, numbers, patients, BOOTSTRAP, 0)


def test_one_patient_has_a_mean_and_no_interval() -> None:
    interval = patient_bootstrap([0.5, 0.7], ["a", "a"], BOOTSTRAP, 0)
    assert np.isnan([interval.low, interval.high]).all()


def test_what_needs_a_second_patient_says_so() -> None:
    with pytest.raises(ValueError, match="two patients"):
        cross_fit(np.ones((1, 2)), ["a"], [0.0, 0.5], 0)
    with pytest.raises(ValueError, match="other patients"):
        class_prior(lambda rows: TRUTH[rows], ["a"], ["Mass"])(np.arange(1))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("labels", [np.zeros((1, 1)), np.ones((1, 1)), np.zeros((5, 1))])
def test_a_class_without_positives_or_negatives_has_no_auc(labels: np.ndarray) -> None:
    scores = np.linspace(0, 1, len(labels))[:, None]
    patients = np.arange(len(labels))
    table = classification_table(
        "nih", "bce", ["Mass"], labels.astype(np.uint8), scores, patients, BOOTSTRAP, 0
    )
    row = table[table["class"] == "Mass"].iloc[0]
    assert row[["auc", "ap"]].isna().all()
    assert row["n_positive"] == labels.sum()


@pytest.mark.filterwarnings("error")
def test_scores_that_are_all_the_same_have_errors_and_no_correlation() -> None:
    table = severity_table("brixia", {"constant": [3.0]}, [5.0], ["a"], BOOTSTRAP, 0)
    assert table["mae"].tolist() == [2.0]
    assert table[["pearson", "spearman"]].isna().all(axis=None)
