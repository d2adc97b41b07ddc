"""A run's folder: its tables and figures, copied from the store, and ``report.html``."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from evaluation.html_report import render_report
from pipeline.config import PipelineConfig
from pipeline.pseudonyms import pseudonymise, read_salt
from pipeline.report_content import report_content
from pipeline.report_results import Made, figure_steps
from pipeline.spreadsheets import copy_table, inert

_TABLES = ("tables", "claims", "shortcuts")  # steps whose tables the run folder holds
_FIND_PROBLEMS = (
    *("index", "pack", "unseen_films"),
    *("lung_network", "predicted_lungs", "given_lungs", "zones"),
)


def write_report(config: PipelineConfig, made: Mapping[str, Made], folder: Path) -> Path:
    """Copies tables and figures into the run folder and writes ``report.html`` there.

    ``made``: the run's steps by title. Raises ValueError for figures that an earlier version of
    the project drew.
    """
    made = dict(sorted(made.items()))  # as in run.json, so that a report made anew is the same
    folders = {title: each.artifact.folder for title, each in made.items()}
    store = folders["index findings"].parents[1]
    salt = read_salt(store) if config.report.hash_ids else None
    tables, figures = folder / "tables", folder / "figures"
    tables.mkdir(exist_ok=True)
    figures.mkdir(exist_ok=True)
    for title in _TABLES:
        for path in sorted(folders[title].glob("*.csv")):
            copy_table(path, tables / path.name, salt)
    for title in figure_steps(made):
        for path in (*folders[title].glob("*.png"), *folders[title].glob("*.pdf")):
            shutil.copyfile(path, figures / path.name)
    frames = [
        pd.read_csv(folders[title] / "problems.csv", dtype=str)
        for title, each in made.items()
        if each.step in _FIND_PROBLEMS
    ]
    problems = pd.concat(frames, ignore_index=True).drop_duplicates()  # films packed at two sizes
    if salt is not None:
        problems = pseudonymise(problems.fillna(""), salt)
    inert(problems).to_csv(tables / "problems.csv", index=False)
    page = folder / "report.html"
    partial = page.with_suffix(".html.tmp")
    content = report_content(config, made, folder, problems)
    partial.write_text(render_report(content), encoding="utf-8")
    partial.replace(page)
    return page
