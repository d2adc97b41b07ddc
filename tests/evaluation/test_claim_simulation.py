"""Guards claims_power.csv: patients keep their differences, and its shares are what it says."""

import numpy as np
import pandas as pd
import pytest

from evaluation.claim_simulation import family_error, power_table, simulate
from evaluation.claims import CLAIMS
from evaluation.config import ClaimsConfig
from evaluation.verdicts import measured_claims
from tests.evaluation.test_verdicts import measured

CONFIG = ClaimsConfig(simulations=200)


def rows_of(*numbers: int, num_patients: int = 60, noise: float = 0.0) -> pd.DataFrame:
    claims = [claim for claim in CLAIMS if claim.number in numbers]
    rows = pd.concat([measured(claim, 3, num_patients) for claim in claims], ignore_index=True)
    return rows.assign(value=rows["value"] + np.random.default_rng(1).normal(0, noise, len(rows)))


def test_without_effect_a_real_difference_of_the_run_plays_no_part():
    found = simulate(measured_claims(rows_of(2, 5)), 200, CONFIG, 0, true=False)
    assert family_error(found) <= 0.1
    assert (found == "no relevant difference").mean().min() > 0.9


def test_with_its_stated_effect_every_claim_of_little_spread_is_found():
    found = simulate(measured_claims(rows_of(2, 5)), 50, CONFIG, 0, true=True)
    assert (found == "holds").all().all()


def test_the_table_has_each_claim_and_the_family_and_is_the_same_again():
    rows = rows_of(2, 5, noise=0.05)
    table = power_table(rows, CONFIG, 0)
    assert table["number"].tolist() == [2, 5, 0]
    five = table.set_index("number").loc[5]
    assert five["spread"] == pytest.approx(0.075, rel=0.3)  # 0.05 on either side
    assert five["found"] == pytest.approx(five["power"], abs=0.2)
    assert table["wrong"].iloc[-1] >= table["wrong"].iloc[:-1].max()
    pd.testing.assert_frame_equal(table, power_table(rows, CONFIG, 0))


def test_a_run_without_any_measured_claim_has_a_table_without_rows():
    assert power_table(rows_of(5)[:0], CONFIG, 0).empty
