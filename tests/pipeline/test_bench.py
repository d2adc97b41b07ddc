"""The benchmark compares like with like, and its measurements are right."""

import json
from dataclasses import replace

import pytest
import torch

from pipeline.tools.bench import main
from pipeline.tools.bench_evaluators import EVALUATORS, PUBLISHED_CURVES
from pipeline.tools.bench_machine import operations, peak_mib
from pipeline.tools.bench_rows import names
from pipeline.tools.bench_subjects import Bench

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    methods = (
        "iba@block3,inverse_iba@block3,grad_cam,localization,insertion_deletion,sensitivity_n,"
        "sanity,training"
    )
    arguments = [
        "--precision",
        "bf16",
        "--quick",
        "--side",
        "48",
        "--images",
        "2",
        "--repeats",
        "1",
        "--threads",
        "1",
    ]
    assert main([*arguments, "--methods", methods, "--out", str(out)]) == 0
    return {row["name"]: row for row in json.loads(out.read_text())["rows"]}


def test_our_maps_and_scores_are_those_of_the_published_loop(rows):
    for name, row in rows.items():
        if name not in ("grad_cam", "sanity", "training"):
            assert row["rank_correlation"] > 0.999, name


def test_a_row_says_time_memory_share_of_the_bound_and_ratio(rows):
    for row in rows.values():
        assert row["seconds_per_image"] > 0
        assert row["peak_mib"] > 100
        if row["name"] != "localization":  # asks no model
            assert 0 < row["fraction_of_bound"] < 1.5
    assert rows["grad_cam"]["ratio_to_published"] is None
    assert rows["iba@block3"]["ratio_to_published"] > 1
    for name in ("insertion_deletion", "sensitivity_n", "sanity", "training"):
        assert rows[name]["ratio_to_forwards"] > 0, name


def test_what_can_run_in_bfloat16_is_timed_in_both_precisions(rows):
    for name in ("iba@block3", "inverse_iba@block3", "insertion_deletion", "sensitivity_n"):
        row = rows[name]
        assert row["bf16_seconds_per_image"] > 0
        assert row["bf16_speed"] > 0
        assert row["bf16_ratio_to_published"] > 0
        assert 0.98 < row["bf16_rank_correlation"] <= 1, name
        assert 0 < row["bf16_fraction_of_bound"] < 1.5
    assert rows["iba@block3"]["bf16_rank_correlation"] < 1
    for name in ("grad_cam", "localization", "sanity", "training"):
        assert rows[name]["bf16_seconds_per_image"] is None


def test_the_published_steps_have_the_scores_of_the_published_preset():
    """On its own 13 states a game; a film is scored for each of 1,004 steps, 80 at a time."""
    bench, sizes = Bench.of(48, 1, CPU, quick=True), []

    class Bright(torch.nn.Module):
        def forward(self, films):
            sizes.append(len(films))
            return films.mean((1, 2, 3))[:, None].expand(-1, 14)

    at_224 = {"images": torch.randn(1, 3, 224, 224), "model": Bright(), "scoring": Bright()}
    row = EVALUATORS[PUBLISHED_CURVES](replace(bench, **at_224))
    published, ours = row.published(), row.ours()[0]
    assert ours == pytest.approx(published, abs=1e-6)
    assert sizes[:26] == 2 * [*12 * [80], 44]
    assert PUBLISHED_CURVES not in names(None, side=112)


def test_an_unknown_row_is_named(tmp_path, capsys):
    assert main(["--methods", "iba@block9", "--out", str(tmp_path / "bench.json")]) == 1
    assert "iba@block9" in capsys.readouterr().out


def test_operations_are_those_of_products_and_convolutions_forward_and_backward():
    a, b = torch.randn(3, 4), torch.randn(4, 5, requires_grad=True)

    def call():
        torch.autograd.grad((a @ b).relu().sum(), b)

    assert operations(call) == 2 * (2 * 3 * 4 * 5)


def test_the_peak_holds_what_was_freed_again():
    before = peak_mib(lambda: None, CPU)
    assert 60 < peak_mib(lambda: torch.ones(16, 2**20), CPU) - before < 100
