"""Guards the tool that says whether two methods draw one map."""

import numpy as np
import pytest

from pipeline.tools.map_similarity import main, rank_correlations


def write(folder, maps):
    """As a finished step of maps, in shards of two."""
    for number, start in enumerate(range(0, len(maps), 2)):
        shard = folder / "shards" / f"{number:05d}"
        shard.mkdir(parents=True)
        np.save(shard / "maps.npy", maps[start : start + 2])
    return folder


def test_equal_orders_of_pixels_are_one_map_and_reversed_ones_the_opposite(tmp_path):
    maps = np.random.default_rng(0).random((3, 4, 4), dtype=np.float32)
    other = np.stack([np.exp(maps[0]), -maps[1], np.zeros((4, 4))])
    folders = write(tmp_path / "one", maps), write(tmp_path / "other", other)
    np.testing.assert_allclose(rank_correlations(*folders), [1, -1, np.nan])


def test_maps_of_other_samples_are_not_compared(tmp_path):
    maps = np.ones((3, 4, 4), np.float32)
    with pytest.raises(ValueError):
        rank_correlations(write(tmp_path / "one", maps), write(tmp_path / "other", maps[:2]))


def test_a_folder_that_is_no_run_is_an_error_with_a_reason(tmp_path, capsys):
    assert main([str(tmp_path), "findings", "iba", "inverse_iba"]) == 1
    assert "is no finished run" in capsys.readouterr().out
