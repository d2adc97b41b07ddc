"""``outputs/history.csv``: a row for every finished run, the newest last."""

import os
from datetime import datetime
from pathlib import Path

import pandas as pd
from filelock import FileLock

from evaluation.paper_tables import write_csv
from pipeline.config import PipelineConfig
from pipeline.provenance import provenance

HISTORY = "history.csv"


def append_run(config: PipelineConfig, folder: Path) -> None:
    """Adds the run in ``folder`` with its headline numbers; several runs may end at once."""
    outputs = Path(config.paths.outputs)
    git = provenance()["git"]
    row = {
        "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
        "run": Path(os.path.relpath(folder, outputs)).as_posix(),
        "name": config.name,
        "seed": config.seed,
        "commit": (git["commit"] or "")[:12],
        "dirty": git["dirty"],
        **_headline(config, folder / "tables"),
    }
    path = outputs / HISTORY
    with FileLock(path.with_name(f".{HISTORY}.lock")):
        earlier = [pd.read_csv(path, dtype=str, na_values=["n/a"])] if path.exists() else []
        write_csv(pd.concat([*earlier, pd.DataFrame([row])], ignore_index=True), path)


def _headline(config: PipelineConfig, tables: Path) -> dict[str, object]:
    """Mean AUC of the explained model, and the method of the highest IoU with it."""
    headline: dict[str, object] = {}
    classes = pd.read_csv(tables / "classification.csv", na_values=["n/a"])
    means = classes[(classes["class"] == "mean") & (classes["model"] == config.train.primary.value)]
    headline["mean_auc"] = means["auc"].iloc[0]
    if (tables / "table1.csv").exists():
        table = pd.read_csv(tables / "table1.csv", na_values=["n/a"])
        own = table[table["primary"] & table["method"].isin(config.attribution.methods)]
        best = own.sort_values("iou", ascending=False, kind="stable").iloc[0]
        headline |= {"best_method": best["method"], "best_iou": best["iou"]}
    return headline
