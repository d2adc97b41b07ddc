"""report: the run folder's tables, figures and ``report.html``, assembled anew for every run."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.config import PipelineConfig
from pipeline.pseudonyms import pseudonymise, read_salt
from pipeline.run_tables import copy_table, inert
from pipeline.stages.report_content import Made, figure_stages, report_content

_TABLES = ("tables", "claims", "evaluate shortcuts")  # stages whose tables the run folder holds
_SOURCES = (
    "index",
    "pack",
    "lung_network",
    "lungs",
    "zones",
)  # names of the stages that may find problems


def write_report(config: PipelineConfig, made: Mapping[str, Made], folder: Path) -> Path:
    """Copies tables and figures into the run folder and writes ``report.html`` there.

    ``made``: the run's stages by title. Raises ValueError for figures that an
    earlier version of the project drew.
    """
    from evaluation.report import render_report

    made = dict(sorted(made.items()))  # as in run.json, so that a report made anew is the same
    store = made["index"].artifact.folder.parents[1]
    salt = read_salt(store) if config.report.hash_ids else None
    for name, titles, suffixes in (
        ("tables", _TABLES, ("csv",)),
        ("figures", figure_stages(made), ("png", "pdf")),
    ):
        (folder / name).mkdir(exist_ok=True)
        for title in titles:
            for path in sorted(made[title].artifact.folder.iterdir()):
                if path.suffix[1:] not in suffixes:
                    continue
                if path.suffix == ".csv":
                    copy_table(path, folder / name / path.name, salt)
                else:
                    shutil.copyfile(path, folder / name / path.name)
    problems = pd.concat(
        [
            pd.read_csv(each.artifact.folder / "problems.csv", dtype=str)
            for title, each in made.items()
            if title.split()[0] in _SOURCES
        ],
        ignore_index=True,
    ).drop_duplicates()  # films packed at two sizes
    if salt is not None:
        problems = pseudonymise(problems.fillna(""), salt)
    inert(problems).to_csv(folder / "tables" / "problems.csv", index=False)
    page = folder / "report.html"
    partial = page.with_suffix(".html.tmp")
    partial.write_text(
        render_report(report_content(config, made, folder, problems)), encoding="utf-8"
    )
    partial.replace(page)
    return page
