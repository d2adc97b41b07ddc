"""All regions: in closed form where a map marks one region, all alike, everything, or noise."""

import numpy as np
import pytest

from evaluation.all_regions import all_regions

SIDE = 20
REGIONS = np.zeros((SIDE, SIDE), np.uint8)
REGIONS[2:6, 2:6] = 1  # 16 pixels
REGIONS[12:16, 10:12] = 2  # 8 pixels
FIRST, SECOND = REGIONS == 1, REGIONS == 2


def measured(heat):
    return all_regions(heat[None].astype(np.float32), REGIONS[None]).iloc[0].to_dict()


def test_a_map_that_is_the_regions_is_perfect():
    perfect = {"least_recall": 1, "selectivity": 1, "evenness": 1}
    assert measured(REGIONS > 0) == pytest.approx(perfect)


def test_a_map_of_one_region_leaves_the_other_to_chance():
    row = measured(FIRST * 1.0)
    chance = 8 / (SIDE**2 - 16)  # its eight pixels more fall on equal zeros
    assert row["least_recall"] == pytest.approx(chance)
    assert row["selectivity"] == pytest.approx((16 + 8 * chance) / 24)
    assert row["evenness"] == 0


def test_the_weaker_region_counts_where_it_outranks_what_lies_outside():
    row = measured(1.0 * FIRST + 0.25 * SECOND)
    assert row == pytest.approx({"least_recall": 1, "selectivity": 1, "evenness": 0.25})


def test_a_map_of_one_value_is_even_and_not_selective():
    share = 24 / SIDE**2
    expected = {"least_recall": share, "selectivity": share, "evenness": 1}
    assert measured(np.ones((SIDE, SIDE))) == pytest.approx(expected)


def test_noise_finds_of_the_least_region_at_most_what_its_area_allows():
    noise = np.random.default_rng(0).random((400, SIDE, SIDE)).astype(np.float32)
    frame = all_regions(noise, np.repeat(REGIONS[None], 400, axis=0))
    share = 24 / SIDE**2
    assert frame["least_recall"].mean() < share
    assert frame["selectivity"].mean() == pytest.approx(share, rel=0.1)


def test_doubling_a_map_or_renaming_its_regions_changes_nothing():
    heat = np.random.default_rng(1).random((1, SIDE, SIDE)).astype(np.float32)
    named = np.choose(REGIONS, [0, 7, 3])[None]
    for other in (all_regions(2 * heat, REGIONS[None]), all_regions(heat, named)):
        np.testing.assert_allclose(other, all_regions(heat, REGIONS[None]), rtol=1e-6)


def test_a_map_without_positive_values_has_no_evenness():
    assert np.isnan(measured(np.zeros((SIDE, SIDE)))["evenness"])


def test_one_region_is_refused_by_the_name_of_its_sample():
    maps, regions = np.ones((2, SIDE, SIDE), np.float32), np.stack([REGIONS, FIRST])
    with pytest.raises(ValueError, match="sample b has 1 region"):
        all_regions(maps, regions.astype(np.uint8), ["a", "b"])
    with pytest.raises(ValueError, match="NaN or infinity"):
        measured(np.full((SIDE, SIDE), np.nan))
