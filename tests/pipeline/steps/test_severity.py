"""Maps are compared with the severity of the zones on the films whose zones are known."""

import numpy as np
import pandas as pd
import pytest

from data.brixia_score import ZONES
from evaluation.correlation import mean_severity, pcc_samples, severity_maps
from pipeline.steps.severity import LUNG_MASK, MEAN_SEVERITY, SeverityMaps, read_sums
from tests.pipeline.steps.running import given, run_step

COUNT, SIDE = 6, 8
NO_ZONES = 2  # the film whose lungs were not found


@pytest.fixture
def inputs(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("samples", "zones", "maps/shards/00000", "maps/shards/00001"):
        (tmp_path / name).mkdir(parents=True)
    images = [f"{number}.dcm" for number in range(COUNT)]
    samples = pd.DataFrame({"sample": range(COUNT), "image": images, "finding": "severity"})
    scores = rng.integers(0, 4, (COUNT, len(ZONES)))
    samples = samples.assign(patient=range(COUNT), score=scores.sum(axis=1))
    samples[list(ZONES)] = scores
    samples.to_csv(tmp_path / "samples" / "samples.csv", index=False)
    known = [number for number in range(COUNT) if number != NO_ZONES]
    labels = rng.integers(0, 7, (len(known), SIDE, SIDE)).astype(np.uint8)
    np.save(tmp_path / "zones" / "labels.npy", labels)
    np.save(tmp_path / "zones" / "boxes.npy", np.zeros((len(known), 6, 4), int))
    films = pd.DataFrame({"image": [images[number] for number in known]})
    films.to_csv(tmp_path / "zones" / "films.csv", index=False)
    maps = rng.random((COUNT, SIDE, SIDE), dtype=np.float32)
    np.save(tmp_path / "maps/shards/00000" / "maps.npy", maps[:4])
    np.save(tmp_path / "maps/shards/00001" / "maps.npy", maps[4:])
    known_samples = samples.iloc[known].reset_index(drop=True)
    return known_samples, labels, maps[known]


@pytest.mark.parametrize("prior", [None, LUNG_MASK, MEAN_SEVERITY])
def test_films_without_zones_are_left_out(inputs, tmp_path, prior):
    samples, labels, maps = inputs
    scores = samples[list(ZONES)].to_numpy()
    if prior == LUNG_MASK:
        maps = (labels > 0).astype(np.float64)
    elif prior == MEAN_SEVERITY:
        maps = severity_maps(labels, mean_severity(scores, samples["patient"]))
    step = SeverityMaps(
        samples=given(tmp_path / "samples"),
        zones=given(tmp_path / "zones"),
        maps=None if prior else given(tmp_path / "maps"),
        prior=prior,
    )
    folder = tmp_path / "run"
    run_step(step, folder)
    named = samples[["sample", "image", "patient"]].assign(severity=samples["score"])
    frame, sums = pcc_samples(named, maps, labels, scores)
    stored = read_sums(folder)
    assert list(stored) == list(sums)
    for place, values in sums.items():
        np.testing.assert_allclose(stored[place], values, rtol=1e-12)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "samples.csv"), frame, rtol=1e-12)
