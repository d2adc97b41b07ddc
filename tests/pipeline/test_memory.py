import numpy as np
import pytest
import torch
from torch import nn

from attribution.base import SCORES
from attribution.config import IBAConfig, Score, StatisticsConfig
from attribution.iba import IBA
from attribution.statistics import estimate_statistics
from attribution.tapped import TappedModule
from evaluation.config import Baseline, InsertionDeletionConfig
from evaluation.insertion_deletion import insertion_deletion
from pipeline.bench_machine import peak_mib
from pipeline.config import PipelineConfig
from pipeline.executors.config import ExecutorConfig
from pipeline.executors.serial import SerialExecutor
from pipeline.graph import Task
from pipeline.shards import run_shards

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
        found = insertion_deletion(score, images, targets, maps, Baseline.blur, curves)
        np.save(shard / "maps.npy", maps.numpy())
        np.save(shard / "insertion.npy", found.insertion)

    folder.mkdir()
    serial = SerialExecutor(ExecutorConfig())
    task = Task({}, PipelineConfig(), folder, lambda done, total: None, print, serial)
    run_shards(task, count, SHARD, lambda given: compute)


def test_peak_memory_is_that_of_a_shard_however_many_films(model, tmp_path):
    device = torch.device("cpu")
    explain_and_measure(model, tmp_path / "first", SHARD)  # what torch and the kernels take once
    few = peak_mib(lambda: explain_and_measure(model, tmp_path / "few", 4 * SHARD), device)
    many = peak_mib(lambda: explain_and_measure(model, tmp_path / "many", 2000), device)
    kept = 2000 * 4 * SIDE * SIDE * 4 / 2**20  # 70 MiB, if all films and maps were kept
    assert many - few < 0.2 * kept
