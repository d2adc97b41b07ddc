"""The written rule by which betas are chosen."""

import pandas as pd
import pytest

from pipeline.config import PipelineConfig
from pipeline.tools.calibrate import GRID, PER_FINDING, Measured, search, validation_samples


def falling(scale: float, suffices_until: float):
    """Bits fall as scale / beta, the score behind the bottleneck suddenly."""
    return lambda beta: Measured(scale / beta, 0.8, 0.75 if beta <= suffices_until else 0.3)


def chosen(curves):
    asked = []

    def measure(method, beta):
        asked.append((method, beta))
        return curves[method](beta)

    table = search(list(curves), measure)
    assert len(asked) == len(set(asked)) == len(table)
    picked = table[table["chosen"]]
    assert picked["method"].is_unique
    return dict(zip(picked["method"], picked["beta"], strict=True))


@pytest.mark.parametrize("limit", GRID)
def test_iba_takes_the_largest_beta_that_keeps_the_score(limit):
    assert chosen({"iba": falling(1000, limit)}) == {"iba": limit}


def test_where_no_beta_keeps_the_score_the_smallest_is_taken():
    assert chosen({"iba": falling(1000, 0)}) == {"iba": GRID[0]}


def test_every_other_bottleneck_takes_the_beta_of_the_nearest_bits():
    found = chosen(
        {
            "iba": falling(1000, 10),  # 100 bits
            "inverse_iba": falling(500, 1),  # 100 bits at 5
            "iba_block1": falling(16_000, 1),  # 160 at 100, 80 at 200
            "iba_block2": falling(1e9, 1),  # far more bits, whatever the beta
        }
    )
    assert found == {"iba": 10, "inverse_iba": 5, "iba_block1": 200, "iba_block2": GRID[-1]}


def test_the_grid_is_tried_by_halving():
    table = search(["iba"], lambda method, beta: falling(1000, 20)(beta))
    assert len(table) <= 5


def test_positives_of_the_labels_that_the_network_has_are_taken():
    fold = pd.DataFrame({"image": list("abcd"), "Own": [1, 0, 1, 1], "Other": [0, 0, 0, 1]})
    samples = validation_samples(PipelineConfig(), fold, ("Other", "Own"))
    assert PER_FINDING == 2
    assert samples["image"].tolist() == ["d", "a", "c"]
    assert samples["target"].tolist() == [0, 1, 1]
