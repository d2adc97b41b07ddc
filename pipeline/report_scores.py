"""The report's scoreboards: each task's methods beside each other, with the time of their maps."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from evaluation.html_report import ReportSection, ReportTable
from evaluation.html_scoreboard import view_heat, view_scoreboard
from evaluation.scoreboard import METRICS, SECONDS
from pipeline.chapters import HEAT, SCOREBOARDS, SCORES_LEGEND
from pipeline.report_results import Made
from pipeline.shards import read_shard_tables
from pipeline.task import FINDINGS
from pipeline.unmet import Unmet


def scores_section(folder: Path, made: Mapping[str, Made], unmet: Unmet) -> ReportSection | None:
    """Scoreboards of the tables in ``folder``, and IoU by finding; None where there are none."""
    blocks = []
    for task, (title, caption) in SCOREBOARDS.items():
        name = f"scoreboard_{task}"
        if (path := folder / f"{name}.csv").exists():
            board = pd.read_csv(path, na_values=["n/a"])
            board[SECONDS] = board["method"].map(_seconds_a_film(made, task))
            board["unmet"] = unmet.rows(board, [task])
            layout = partial(view_scoreboard, metrics=METRICS[task])
            csv = f"tables/{name}.csv"
            blocks.append(ReportTable(name, title, caption, board, csv, layout))
    if (path := folder / "table1_findings.csv").exists():
        blocks.append(_heat(folder, pd.read_csv(path, na_values=["n/a"]), unmet))
    if not blocks:
        return None
    first = blocks[0]
    blocks[0] = replace(first, caption=f"{first.caption} {SCORES_LEGEND}")
    return ReportSection("scores", "Scoreboard", tuple(blocks))


def _heat(folder: Path, findings: pd.DataFrame, unmet: Unmet) -> ReportTable:
    """Each method by the rule that stands for it in Table 1."""
    table1 = pd.read_csv(folder / "table1.csv", na_values=["n/a"])
    stands = table1.loc[table1["primary"], ["method", "rule"]]
    frame = stands.merge(findings, on=["method", "rule"])
    frame = frame.assign(unmet=unmet.rows(frame, [FINDINGS]))
    return ReportTable("heat", *HEAT, frame, "tables/table1_findings.csv", view_heat)


def _seconds_a_film(made: Mapping[str, Made], task: str) -> dict[str, float]:
    """Method -> seconds of wall time that a map took, of maps that join others with these."""
    by_key = {each.key: each for each in made.values() if each.step == "maps"}

    def seconds(each: Made) -> float:
        manifest = each.artifact.manifest
        joined = (by_key.get(key) for key in manifest["key_parts"]["inputs"].values())
        return float(manifest["seconds"]) + sum(seconds(layer) for layer in joined if layer)

    prefix = f"maps {task} "
    return {
        title.removeprefix(prefix): seconds(each)
        / len(read_shard_tables(each.artifact.folder, "diagnostics.csv"))
        for title, each in made.items()
        if title.startswith(prefix)
    }
