"""``python -m pipeline.compare A B ...``: differences between runs, in settings and results.

A, B: run folders, or the folder of a sweep. Writes a csv per table, paired differences from the
first run, and ``compare.html``, into a new folder of ``<outputs>/compare``.
"""

import argparse
import json
import math
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Column, Table

from data.config import user_path
from evaluation.comparison import (
    SHAPES,
    claims_side_by_side,
    config_differences,
    paired_differences,
    seed_groups,
    side_by_side,
    table3_over_seeds,
)
from evaluation.config import BootstrapConfig, ClaimsConfig
from evaluation.html_report import ReportContent, ReportSection, ReportTable, render_report
from evaluation.loss_claim import loss_claim, pair_differences
from evaluation.paper_tables import write_csv
from pipeline.progress import console, say
from pipeline.store import outputs_above

_SHOWN_ROWS = 16  # of a table on screen; the files hold all


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.compare", description=__doc__)
    parser.add_argument("runs", nargs="+", type=user_path, help="run folders, or a sweep's folder")
    parser.add_argument("--out", type=user_path, help="a new folder; default: in <outputs>/compare")
    options = parser.parse_args(arguments)
    try:
        runs = find_runs(options.runs)
        out = options.out or _beside(next(iter(runs.values())))
        if out.exists():
            raise ValueError(f"--out: {out} is there already; name a new folder")
        compare(runs, out)
    except (ValueError, OSError) as error:
        say(f"error: {error}")
        return 1
    return 0


def _beside(run: Path) -> Path:
    outputs = outputs_above(run)
    if outputs is None:
        raise ValueError(f"{run}: no folder above it holds a store/; say by --out where to write")
    return outputs / "compare" / datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f")


def find_runs(folders: list[Path]) -> dict[str, Path]:
    """Name -> run folder, a sweep's folder opened. ValueError for what holds no finished run."""
    runs: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}")
        inside = sorted(path.parent for path in folder.glob("*/run.json"))
        found = [folder] if (folder / "run.json").is_file() else inside
        if not found:
            raise ValueError(f"{folder} holds no finished run: run.json is absent")
        for run in found:
            resolved = run.resolve()
            runs[f"{resolved.parent.name}/{resolved.name}"] = run
    if len(runs) < 2:
        raise ValueError("two runs at least are needed, or the folder of a sweep")
    return runs


def compare(runs: dict[str, Path], out: Path) -> None:
    """Writes and shows everything. ValueError where the runs have no table in common."""
    configs = {name: _config(folder) for name, folder in runs.items()}
    settings = config_differences(configs)
    groups = seed_groups(configs)
    out.mkdir(parents=True)
    write_csv(settings, out / "settings.csv")
    blocks = [ReportTable("settings", "Settings", "Only those that differ.", settings)]
    _show("settings that differ", settings)
    if any(len(names) > 1 for names in groups.values()):
        say("runs that differ in the seed alone are shown as mean and deviation (sd)")
    if len(claims := _tables(runs, "claims")) > 1:
        twelve = claims_side_by_side(claims)
        blocks.insert(0, ReportTable("twelve", "The twelve claims", "Each run's verdict.", twelve))
        _show("the twelve claims", twelve)
    for name, shape in SHAPES.items():
        tables = _tables(runs, name)
        if len(tables) < 2:
            continue
        table = side_by_side(shape, tables, groups)
        write_csv(table, out / f"{name}.csv")
        caption = f"{shape.value} of each run."
        blocks.append(ReportTable(name, name, caption, table, f"{name}.csv"))
        if name in ("table1", "table3", "classification"):
            _show(name, table)
        samples = _tables(runs, f"{name}_samples")
        if shape.per_sample and len(samples) > 1:
            paired = paired_differences(shape, samples, BootstrapConfig().confidence)
            if len(paired):
                write_csv(paired, out / f"{name}_paired.csv")
                caption = "Value of the run less the first run's, on the same samples."
                title = f"{name}, paired with {next(iter(samples))}"
                blocks.append(
                    ReportTable(f"{name}_paired", title, caption, paired, f"{name}_paired.csv")
                )
    blocks += _over_seeds(runs, groups, out)
    if len(blocks) == 1:
        raise ValueError("the runs have no table in common")
    page = ReportContent(
        title="Runs side by side",
        banner=None,
        statement=tuple(
            f"{name}: {configs[name]['name']}, seed {configs[name]['seed']}" for name in runs
        ),
        verdicts=(),
        facts={"runs": len(runs), "settings that differ": len(settings)},
        sections=(ReportSection("comparison", "Comparison", tuple(blocks)),),
    )
    (out / "compare.html").write_text(render_report(page), encoding="utf-8")
    say(f"tables: {out}")
    say(f"page: {out / 'compare.html'}")


def _over_seeds(
    runs: dict[str, Path], groups: dict[str, list[str]], out: Path
) -> list[ReportTable]:
    """Of each setting that several seeds were run of: Table 3 with its spread, and claim 12."""
    blocks = []
    for number, names in enumerate(group for group in groups.values() if len(group) > 1):
        of_group = {name: runs[name] for name in names}
        samples = _tables(of_group, "table3_samples")
        if len(samples) < 2:
            continue
        table = table3_over_seeds(list(samples.values()), BootstrapConfig(), seed=0)
        file = f"table3_seeds_{number}.csv"
        write_csv(table, out / file)
        caption = (
            f"Table 3 over {len(samples)} trainings ({', '.join(samples)}); seed_sd: between them."
        )
        blocks.append(ReportTable(f"seeds{number}", "Table 3 over seeds", caption, table, file))
        _show("Table 3 over seeds", table[table["pathology"].isin(["Mean", "MacroMean"])])
        tables, quality = _tables(of_group, "table3"), _tables(of_group, "classification")
        pairs = [pair_differences(tables[name], quality[name]) for name in samples]
        claim = loss_claim(pd.DataFrame(pairs, index=list(samples)), ClaimsConfig())
        file = f"claim12_{number}.csv"
        write_csv(claim, out / file)
        caption = f"Over {len(samples)} pairs of trainings; n counts the pairs."
        blocks.append(ReportTable(f"claim12-{number}", "Claim 12", caption, claim, file))
        _show("claim 12", claim[["claim", "verdict", "reason", "difference", "ci_low", "ci_high"]])
    return blocks


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "run.json").read_text(encoding="utf-8"))["config"]
        return dict(config)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'run.json'} is no record of a run ({error!r})") from error


def _tables(runs: dict[str, Path], name: str) -> dict[str, pd.DataFrame]:
    paths = {run: folder / "tables" / f"{name}.csv" for run, folder in runs.items()}
    return {
        run: pd.read_csv(path, na_values=["n/a"], keep_default_na=False, dtype={"image": str})
        for run, path in paths.items()
        if path.is_file()
    }


def _show(title: str, table: pd.DataFrame) -> None:
    view = Table(*(Column(str(name), overflow="fold") for name in table.columns), title=title)
    for row in table.head(_SHOWN_ROWS).itertuples(index=False):
        view.add_row(*map(_shown, row))
    console.print(view)
    if len(table) > _SHOWN_ROWS:
        say(f"... {len(table) - _SHOWN_ROWS} more rows in the files")


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return "n/a" if math.isnan(value) else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
