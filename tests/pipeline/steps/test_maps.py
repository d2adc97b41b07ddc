"""Maps on disk: found by sample number in shards of any size; joined ones are maps like others."""

import numpy as np
import pandas as pd
import pytest

from attribution.config import IBAConfig, Intersection, MultilayerIBAConfig, Score
from pipeline.steps.explainer import Explainer
from pipeline.steps.maps import JoinedMaps, map_reader, map_shards
from tests.pipeline.steps.running import given, run_step


def lay_out(folder, maps, size):
    """As Maps leaves them."""
    for start in range(0, len(maps), size):
        shard = folder / "shards" / f"{start // size:05d}"
        shard.mkdir(parents=True)
        part = maps[start : start + size]
        np.save(shard / "maps.npy", part)
        frame = pd.DataFrame({"sample": range(start, start + len(part)), "score": 0.5, "bits": 2.0})
        frame.to_csv(shard / "diagnostics.csv", index=False)
    return folder


@pytest.mark.parametrize("size", [1, 3, 4, 7, 20])
def test_a_map_is_found_by_its_samples_number_whatever_the_shards_size(tmp_path, size):
    maps = np.random.default_rng(0).random((7, 5, 5), dtype=np.float32)
    read = map_reader(lay_out(tmp_path, maps, size))
    for numbers in ([6], [0, 6, 3], [2, 2], list(range(7))):
        assert np.array_equal(read(numbers), maps[numbers])
    assert np.array_equal(np.concatenate(list(map_shards(tmp_path))), maps)


def test_joined_maps_are_those_of_the_first_layer_where_the_others_agree(tmp_path):
    fine, coarse = np.random.default_rng(1).random((2, 5, 6, 6), dtype=np.float32)
    layers = {
        name: given(lay_out(tmp_path / name, maps, 2))
        for name, maps in (("iba_block1", fine), ("iba", coarse))
    }
    settings = MultilayerIBAConfig(list(layers), [1.0, 1.0], Intersection.soft)
    taps = {"iba_block1": IBAConfig(tap="block1"), "iba": IBAConfig(tap="block3")}
    step = JoinedMaps(Explainer("multilayer_iba", settings, taps, Score.logit), layers)
    folder = tmp_path / "joined"
    run_step(step, folder)
    agree = coarse >= np.sqrt((coarse**2).mean(axis=(1, 2), keepdims=True))
    assert np.array_equal(np.concatenate(list(map_shards(folder))), fine * agree)
    columns = pd.read_csv(folder / "shards" / "00002" / "diagnostics.csv").columns
    assert set(columns) == {"sample", "score", "bits_block1", "bits_block3", "area"}
    assert step.name == "maps"
