"""``python -m pipeline.compare``: pages, pooled seeds, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline.compare import main


def run(folder: Path, seed: int = 0, beta: int = 10, iou: float = 0.1) -> Path:
    (folder / "tables").mkdir(parents=True)
    config = {"name": "demo", "seed": seed, "attribution": {"iba": {"beta": beta}}}
    (folder / "run.json").write_text(json.dumps({"config": config}))
    row = {"method": "iba", "rule": "cross_fitted", "threshold": 0.3, "iou": iou}
    pd.DataFrame([row]).to_csv(folder / "tables" / "table1.csv", index=False)
    rows = [
        {
            "method": "iba",
            "metric": "pointing",
            "image": f"{k}.png",
            "finding": "<script>alert(1)</script>",
            "patient": k,
            "value": iou * k,
        }
        for k in range(6)
    ]
    samples = pd.DataFrame(rows)
    samples.to_csv(folder / "tables" / "localization_samples.csv", index=False)
    means = samples.groupby(["method", "metric"])["value"].mean().reset_index()
    means.to_csv(folder / "tables" / "localization.csv", index=False)
    return folder


def test_two_runs_are_compared_in_files_a_page_and_on_screen(tmp_path, capsys):
    first, second = run(tmp_path / "day" / "a"), run(tmp_path / "day" / "b", beta=20, iou=0.3)
    assert main([str(first), str(second), "--out", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out" / "table1.csv")
    assert table[["day/a", "day/b"]].iloc[0].tolist() == [0.1, 0.3]
    paired = pd.read_csv(tmp_path / "out" / "localization_paired.csv")
    assert paired["difference"].iloc[0] == pytest.approx(0.2 * 2.5)
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert "attribution.iba.beta" in page
    assert "<script>alert" not in page
    assert "attribution.iba.beta" in capsys.readouterr().out


def test_a_sweeps_folder_is_opened_and_its_seeds_become_mean_and_deviation(tmp_path, capsys):
    for seed, iou in enumerate((0.1, 0.3)):
        run(tmp_path / "sweep" / str(seed), seed=seed, iou=iou)
    assert main([str(tmp_path / "sweep"), "--out", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out" / "table1.csv")
    assert table["sweep/0"].iloc[0] == pytest.approx(0.2)
    assert table["sweep/0 sd"].iloc[0] == pytest.approx(0.1 * 2**0.5, abs=1e-6)
    assert "differ in the seed alone" in capsys.readouterr().out


def test_without_out_the_comparison_of_a_sweep_lands_beside_the_store(tmp_path, capsys):
    outputs = tmp_path / "outputs"
    (outputs / "store").mkdir(parents=True)
    for seed in range(2):
        run(outputs / "2026-01-01" / "sweep" / str(seed), seed=seed)
    assert main([str(outputs / "2026-01-01" / "sweep")]) == 0
    assert len(list((outputs / "compare").glob("*/compare.html"))) == 1
    assert sorted(p.name for p in outputs.iterdir()) == ["2026-01-01", "compare", "store"]


def test_a_folder_that_is_there_is_not_written_into(tmp_path, capsys):
    first, second = run(tmp_path / "a"), run(tmp_path / "b")
    assert main([str(first), str(second), "--out", str(first)]) == 1
    assert "is there already; name a new folder" in capsys.readouterr().out


def test_runs_that_lie_beside_no_store_need_out(tmp_path, capsys):
    assert main([str(run(tmp_path / "a")), str(run(tmp_path / "b"))]) == 1
    assert "say by --out" in capsys.readouterr().out


def test_starting_it_loads_nothing_that_takes_long_and_is_not_needed():
    slow = {"torch", "matplotlib", "hydra", "scipy.stats"}
    code = f"import sys, pipeline.compare; print({slow} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("broken", ["absent", "empty", "alone", "record"])
def test_what_cannot_be_compared_is_said_with_exit_code_1(tmp_path, capsys, broken):
    good, other = run(tmp_path / "good"), tmp_path / "other"
    if broken != "absent":
        other.mkdir()
    if broken == "record":
        (other / "run.json").write_text("{}")
    arguments = [good] if broken == "alone" else [good, other]
    assert main([*map(str, arguments), "--out", str(tmp_path / "out")]) == 1
    said = {
        "absent": "no folder",
        "empty": "no finished run",
        "alone": "two runs",
        "record": "no record",
    }
    assert said[broken] in capsys.readouterr().out
