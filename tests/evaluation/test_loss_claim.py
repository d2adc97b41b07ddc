"""Guards claim 12: trainings are the patients, and better maps at worse scores are no support."""

import numpy as np
import pandas as pd
import pytest

from evaluation.config import ClaimsConfig
from evaluation.loss_claim import loss_claim, pair_differences
from evaluation.loss_comparison import RULES
from evaluation.verdicts import CLAIM_COLUMNS

CONFIG = ClaimsConfig()


def trainings(iou: float, auc: float = 0.0, ap: float = 0.0, num: int = 5) -> pd.DataFrame:
    noise = np.random.default_rng(0).normal(0, 0.003, (num, len(RULES) + 2))
    means = np.array([*[iou] * len(RULES), auc, ap])
    return pd.DataFrame(noise + means, columns=[*RULES, "auc", "ap"])


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        (trainings(0.04), "holds"),
        (trainings(-0.04), "fails"),
        (trainings(0.0), "no relevant difference"),
        (trainings(0.04, auc=-0.05), "fails"),
        (trainings(0.04, ap=0.05), "fails"),
        (trainings(0.003, num=2), "undecided"),
    ],
)
def test_it_holds_where_maps_are_better_and_scores_alike(pairs, verdict):
    row = loss_claim(pairs, CONFIG).iloc[0]
    assert row["verdict"] == verdict
    assert (row["number"], row["n_patients"]) == (12, len(pairs))


def test_its_row_is_one_of_claims_csv_and_names_the_weakest_rule():
    pairs = trainings(0.04).assign(matched_bits=lambda frame: frame["matched_bits"] - 0.02)
    table = loss_claim(pairs, CONFIG)
    assert tuple(table.columns) == CLAIM_COLUMNS
    assert table["metric"].iloc[0].endswith("matched_bits")
    assert table["difference"].iloc[0] == pytest.approx(pairs["matched_bits"].mean())


def test_one_pair_of_trainings_is_refused():
    with pytest.raises(ValueError, match="two pairs"):
        loss_claim(trainings(0.04, num=1), CONFIG)


def test_a_pair_is_read_from_the_tables_of_its_run_and_detectors_do_not_count():
    losses = ["weighted_bce", "bce"]
    table3 = pd.DataFrame(
        {
            "loss": losses * 2,
            "rule": ["shared_threshold"] * 4,
            "pathology": ["Mean", "Mean", "Mass", "Mass"],
            "iou": [0.3, 0.1, 0.9, 0.0],
        }
    )
    quality = pd.DataFrame(
        {
            "dataset": ["nih", "nih", "nih", "brixia"],
            "model": [*losses, "bce", "weighted_bce"],
            "class": ["mean", "mean", "Mass", "mean"],
            "auc": [0.80, 0.85, 0.1, 0.99],
            "ap": [0.3, 0.4, 0.1, 0.99],
        }
    )
    found = pair_differences(table3, quality)
    assert found == pytest.approx({"shared_threshold": 0.2, "auc": -0.05, "ap": -0.1})
    with pytest.raises(ValueError, match="bce is absent"):
        pair_differences(table3[table3["loss"] == "weighted_bce"], quality)
