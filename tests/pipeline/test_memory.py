"""Guards that memory is that of a shard, and not of a data set."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from attribution.base import SCORES
from attribution.config import IBAConfig, Score, StatisticsConfig
from attribution.iba import IBA
from attribution.statistics import estimate_statistics
from attribution.tapped import TappedModule
from data.brixia_score import DETECTORS, ZONES, zones_of
from evaluation.config import (
    Baseline,
    BoxRounding,
    InsertionDeletionConfig,
    LocalizationMetricsConfig,
    SensitivityNConfig,
)
from evaluation.insertion_deletion import end_scores, insertion_deletion
from evaluation.sensitivity_n import set_sizes
from pipeline.executors.base import SerialExecutor
from pipeline.executors.config import ExecutorConfig
from pipeline.shards import run_shards
from pipeline.step import Machine, UserFiles, Work
from pipeline.steps.localization import Localization
from pipeline.steps.sensitivity_n import SensitivityN
from pipeline.steps.severity import SeverityMaps
from pipeline.steps.truth import BoxTruth, ZoneTruth
from pipeline.tools.bench_machine import peak_mib
from tests.pipeline.steps.running import given, run_step

SIDE, SHARD = 48, 40


def films(rows):
    generator = torch.Generator().manual_seed(rows.start)
    return torch.randn(rows.stop - rows.start, 3, SIDE, SIDE, generator=generator)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TappedModule(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )
    ).eval()


def explain_and_measure(model, folder, count):
    statistics = estimate_statistics(model, "0", [films(range(64))], StatisticsConfig())
    explain = IBA(IBAConfig(tap="0", steps=2, noise_samples=2), statistics)
    curves = InsertionDeletionConfig(steps=5, batch_size=60)

    def score(images, targets):
        return SCORES[Score.sigmoid](model(images), targets)

    def compute(shard, rows):
        images = films(rows)
        targets = torch.zeros(len(images), dtype=torch.int64)
        seeds = range(rows.start, rows.stop)
        maps = explain(model, images, targets, score=SCORES[Score.logit], seeds=seeds).maps
        ends = end_scores(score, images, targets, curves)
        found = insertion_deletion(score, images, targets, maps, ends, Baseline.blur, curves)
        np.save(shard / "maps.npy", maps.numpy())
        np.save(shard / "insertion.npy", found.insertion)

    folder.mkdir()
    serial = SerialExecutor(ExecutorConfig())
    work = Work({}, Machine(folder), folder, lambda done, total: None, print, serial)
    run_shards(work, count, SHARD, lambda given: compute)


def test_peak_memory_is_that_of_a_shard_however_many_films(model, tmp_path):
    device = torch.device("cpu")
    explain_and_measure(model, tmp_path / "first", SHARD)  # what torch and the kernels take once
    few = peak_mib(lambda: explain_and_measure(model, tmp_path / "few", 4 * SHARD), device)
    many = peak_mib(lambda: explain_and_measure(model, tmp_path / "many", 2000), device)
    kept = 2000 * 4 * SIDE * SIDE * 4 / 2**20  # 70 MiB, if all films and maps were kept
    assert many - few < 0.2 * kept


def scored_films(root, count):
    """Select, zones, maps and output changes of ``count`` films, as earlier steps leave them."""
    rng = np.random.default_rng(0)
    names = [f"{number}.dcm" for number in range(count)]
    samples = pd.DataFrame({"sample": range(count), "image": names, "patient": range(count)})
    severe = np.full(len(ZONES), 3)
    samples["finding"] = next(name for name in DETECTORS if zones_of(name, severe).any())
    samples["score"], samples["seed"] = severe.sum(), range(count)
    samples = samples.assign(**dict.fromkeys(ZONES, 3), x=100, y=100, w=300, h=300)
    folders = {name: root / name for name in ("select", "zones", "truth", "maps", "changes")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    samples.to_csv(folders["select"] / "samples.csv", index=False)
    rows, columns = np.indices((SIDE, SIDE))
    labels = (1 + rows * 3 // SIDE + 3 * (columns * 2 // SIDE)).astype(np.uint8)
    np.save(folders["zones"] / "labels.npy", np.broadcast_to(labels, (count, SIDE, SIDE)))
    corners = [[SIDE // 2 * (k // 3), 16 * (k % 3), SIDE // 2, 16] for k in range(6)]
    np.save(folders["zones"] / "boxes.npy", np.broadcast_to(np.array(corners), (count, 6, 4)))
    samples[["image"]].to_csv(folders["zones"] / "films.csv", index=False)
    for start in range(0, count, 32):
        shard = folders["maps"] / "shards" / f"{start // 32:05d}"
        shard.mkdir(parents=True)
        np.save(shard / "maps.npy", rng.random((32, SIDE, SIDE), dtype=np.float32))
    np.save(folders["truth"] / "box.npy", np.broadcast_to(labels > 3, (count, SIDE, SIDE)))
    (folders["truth"] / "places.txt").write_text("box")
    sizes = len(set_sizes(CURVES, SIDE))
    for start in range(0, count, 2):
        shard = folders["changes"] / "shards" / f"{start // 2:05d}"
        shard.mkdir(parents=True)
        np.save(shard / "changes.npy", rng.random((2, sizes, 4)))
    return folders


METRICS = LocalizationMetricsConfig()
CURVES = SensitivityNConfig(masks=4)


def localization(samples: UserFiles, truth: UserFiles, maps: UserFiles | None) -> Localization:
    prior = "class_prior" if maps is None else None
    return Localization(samples, truth, maps, prior, 3, METRICS, None, in_bits=False)


STEPS = {
    "severity": lambda f: SeverityMaps(f["select"], f["zones"], f["maps"], None),
    "severity of a prior": lambda f: SeverityMaps(f["select"], f["zones"], None, "mean_severity"),
    "localization": lambda f: localization(f["select"], f["truth"], f["maps"]),
    "localization of a prior": lambda f: localization(f["select"], f["truth"], None),
    "boxes as masks": lambda f: BoxTruth(f["select"], SIDE, BoxRounding.centre),
    "zones as masks": lambda f: ZoneTruth(f["select"], {"predicted": f["zones"]}),
    "sensitivity_n": lambda f: SensitivityN(f["changes"], f["select"], f["maps"], CURVES, SIDE),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_in_one_process_holds_few_maps_however_many_films(step, tmp_path):
    def peak(count):
        folders = scored_films(tmp_path / str(count), count)
        files = {name: given(folder, name) for name, folder in folders.items()}
        made = tmp_path / f"made of {count}"
        tracemalloc.start()
        try:
            run_step(STEPS[step](files), made)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(32)  # what modules take once
    few, many = peak(256), peak(768)
    all_as_float32 = (768 - 256) * SIDE * SIDE * 4
    assert many - few < 0.4 * all_as_float32  # its rows are some 2.5 kB a film, its map 9.2
