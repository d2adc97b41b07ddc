"""Sensitivity-N of maps is the same however the changes and the maps are cut in shards."""

import numpy as np
import pandas as pd
import pytest

from evaluation.config import SensitivityNConfig
from evaluation.sensitivity_n import sensitivity_n, sensitivity_n_samples, set_sizes
from pipeline.steps.sensitivity_n import SensitivityN
from tests.pipeline.steps.running import given, run_step

COUNT, SIDE = 11, 6
CONFIG = SensitivityNConfig(masks=9, max_samples=8)


def lay_out(folder, name, values, size):
    for start in range(0, len(values), size):
        shard = folder / "shards" / f"{start // size:05d}"
        shard.mkdir(parents=True)
        np.save(shard / f"{name}.npy", values[start : start + size])
    return given(folder)


@pytest.mark.parametrize(("changes_size", "maps_size"), [(2, 4), (3, 5), (8, 11), (1, 1)])
def test_correlations_are_of_the_samples_whose_turn_came_first(tmp_path, changes_size, maps_size):
    rng = np.random.default_rng(0)
    samples = pd.DataFrame({"sample": range(COUNT), "image": [f"{n}.png" for n in range(COUNT)]})
    samples = samples.assign(patient=samples["sample"], finding="Mass", turn=range(COUNT)[::-1])
    samples["seed"] = samples["sample"] + 10
    (tmp_path / "samples").mkdir()
    samples.to_csv(tmp_path / "samples" / "samples.csv", index=False)
    first = samples[samples["turn"] < CONFIG.max_samples].reset_index(drop=True)
    maps = rng.random((COUNT, SIDE, SIDE), dtype=np.float32)
    changes = rng.random((len(first), len(set_sizes(CONFIG, SIDE)), CONFIG.masks))
    step = SensitivityN(
        changes=lay_out(tmp_path / "changes", "changes", changes, changes_size),
        samples=given(tmp_path / "samples"),
        maps=lay_out(tmp_path / "maps", "maps", maps, maps_size),
        config=CONFIG,
        side=SIDE,
        shards=2,
    )
    run_step(step, tmp_path / "run")
    rows = pd.read_csv(tmp_path / "run" / "samples.csv")
    names = first[["sample", "image", "patient", "finding"]]
    correlations = sensitivity_n(maps[first["sample"]], changes, first["seed"], CONFIG)
    expected = sensitivity_n_samples(names, correlations, CONFIG, SIDE)
    pd.testing.assert_frame_equal(rows, expected, rtol=1e-12)
