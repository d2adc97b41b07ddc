"""One step measures localization against any truth: boxes, zones, what changes a phantom."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation.config import LocalizationMetricsConfig
from evaluation.localization import BITS_PER_PIXEL, iou_curve, threshold_grid
from evaluation.localization_metrics import localization_metrics
from evaluation.point_spread import at_point_spread, point_spread
from pipeline.steps.localization import LUNG_MASK, PRIORS, Localization, OneSpread, read_curves
from tests.pipeline.steps.running import given, run_step

COUNT, SIDE = 9, 8
METRICS = LocalizationMetricsConfig()
EMPTY = {"mask_predicted": [2, 5], "mask_true": []}  # samples without a truth, by place


@pytest.fixture
def inputs(tmp_path):
    """Samples, maps in shards of 4, and a truth of two places, as the steps before leave them."""
    rng = np.random.default_rng(0)
    folders = {name: tmp_path / name for name in ("samples", "maps", "truth")}
    for folder in folders.values():
        folder.mkdir()
    samples = pd.DataFrame(
        {
            "sample": range(COUNT),
            "image": [f"{n}.dcm" for n in range(COUNT)],
            "patient": [n // 2 for n in range(COUNT)],
            "finding": ["Detector2", "Detector3", "Detector2"] * (COUNT // 3),
        }
    )
    samples.to_csv(folders["samples"] / "samples.csv", index=False)
    maps = rng.random((COUNT, SIDE, SIDE), dtype=np.float32)
    for start in range(0, COUNT, 4):
        shard = folders["maps"] / "shards" / f"{start // 4:05d}"
        shard.mkdir(parents=True)
        np.save(shard / "maps.npy", maps[start : start + 4])
    truth = {}
    for place, empty in EMPTY.items():
        truth[place] = rng.random((COUNT, SIDE, SIDE)) < 0.3
        truth[place][empty] = False
        lungs = f"lungs_{place.partition('_')[2]}"
        for name, masks in ((place, truth[place]), (lungs, truth[place] | (maps > 0.6))):
            np.save(folders["truth"] / f"{name}.npy", masks)
    (folders["truth"] / "places.txt").write_text("\n".join(truth))
    return {name: given(folder) for name, folder in folders.items()}, samples, maps, truth


def step_of(sources):
    return Localization(
        **sources,
        prior=None,
        thresholds=5,
        metrics=METRICS,
        metric_places=None,
        in_bits=False,
    )


def test_each_place_has_the_curves_of_its_masks_and_none_where_a_sample_has_no_truth(
    inputs, tmp_path
):
    sources, _, maps, truth = inputs
    run_step(step_of(sources), tmp_path / "run")
    curves = read_curves(tmp_path / "run")
    assert list(curves) == list(EMPTY)
    for place, empty in EMPTY.items():
        known = [n for n in range(COUNT) if n not in empty]
        expected = iou_curve(maps[known], truth[place][known], threshold_grid(5))
        assert np.array_equal(curves[place][known], expected)
        assert np.isnan(curves[place][empty]).all()


def test_the_metrics_name_the_place_and_only_samples_that_have_it(inputs, tmp_path):
    sources, samples, maps, truth = inputs
    step = replace(step_of(sources), metric_places=("mask_predicted",))
    run_step(step, tmp_path / "run")
    rows = pd.read_csv(tmp_path / "run" / "samples.csv")
    known = [n for n in range(COUNT) if n not in EMPTY["mask_predicted"]]
    named = samples.iloc[known].assign(place="mask_predicted").reset_index(drop=True)
    expected = localization_metrics(maps[known], truth["mask_predicted"][known], METRICS)
    pd.testing.assert_frame_equal(rows, named.join(expected))
    run_step(step_of(sources), tmp_path / "every")
    every = pd.read_csv(tmp_path / "every" / "samples.csv")
    assert every["place"].value_counts().to_dict() == {"mask_predicted": 7, "mask_true": 9}


def test_maps_in_bits_have_curves_at_absolute_thresholds_too(inputs, tmp_path):
    sources, _, maps, truth = inputs
    folder = tmp_path / "run"
    run_step(replace(step_of(sources), in_bits=True), folder)
    curves = read_curves(folder, "curves_bits")["mask_true"]
    expected = iou_curve(maps, truth["mask_true"], BITS_PER_PIXEL, scale=1.0)
    assert np.array_equal(curves, expected)


def test_without_thresholds_there_are_metrics_alone(inputs, tmp_path):
    sources = inputs[0]
    folder = tmp_path / "run"
    run_step(replace(step_of(sources), thresholds=None, in_bits=True), folder)
    assert [path.name for path in folder.iterdir()] == ["samples.csv"]


@pytest.mark.parametrize("prior", [*PRIORS, LUNG_MASK])
def test_a_prior_never_sees_a_map(inputs, tmp_path, prior):
    sources, samples, maps, truth = inputs
    step = replace(step_of(sources), maps=None, prior=prior)
    run_step(step, tmp_path / "run")
    curves = read_curves(tmp_path / "run")
    for place, empty in EMPTY.items():
        known = np.array([n for n in range(COUNT) if n not in empty])
        masks = truth[place][known]
        if prior == LUNG_MASK:
            expected_maps = (masks | (maps[known] > 0.6)).astype(np.float32)
        else:
            patients, findings = samples["patient"][known], samples["finding"][known]
            prior_maps = PRIORS[prior](lambda part, m=masks: m[part], patients, findings)
            expected_maps = prior_maps(np.arange(len(known)))
        expected = iou_curve(expected_maps, masks, threshold_grid(5))
        assert np.array_equal(curves[place][known], expected)


def test_a_step_is_of_maps_or_of_a_prior(inputs):
    step = step_of(inputs[0])
    for wrong in ({"prior": LUNG_MASK}, {"maps": None}):
        with pytest.raises(ValueError, match="maps or of a prior"):
            replace(step, **wrong)


def test_a_map_that_is_not_finite_is_named_by_film_and_finding(inputs, tmp_path):
    sources, _, maps, _ = inputs
    maps[4, 0, 0] = np.nan
    np.save(sources["maps"].path / "shards" / "00001" / "maps.npy", maps[4:8])
    with pytest.raises(ValueError, match=r"4\.dcm Detector3"):
        run_step(step_of(sources), tmp_path / "run")


@pytest.mark.parametrize("tap", ["block1", "block3"])
def test_taps_are_compared_on_causal_pixels_at_the_spread_of_the_coarsest(inputs, tmp_path, tap):
    sources, _, maps, truth = inputs
    causal = truth["mask_predicted"]
    np.save(sources["truth"].path / "causal.npy", causal)
    (sources["truth"].path / "places.txt").write_text("causal")
    sigma = SIDE / 224  # as the bottleneck of films of this side has it
    taps = (("block1", sigma), ("block3", sigma))
    step = OneSpread(**sources, tap=(tap, sigma), taps=taps)
    run_step(step, tmp_path / "run")
    rows = pd.read_csv(tmp_path / "run" / "samples.csv")
    known = [n for n in range(COUNT) if n not in EMPTY["mask_predicted"]]
    assert rows["sample"].tolist() == known
    assert set(rows["place"]) == {"causal_one_spread"}
    own, wanted = (point_spread(cell, sigma) for cell in (4 if tap == "block1" else 16, 16))
    expected = localization_metrics(
        at_point_spread(maps[known], own, wanted), causal[known], METRICS
    )
    metrics = ["average_precision", "mass_in_box"]
    np.testing.assert_allclose(rows[metrics], expected[metrics], rtol=1e-6)
