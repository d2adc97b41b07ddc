"""What each part of a run took, beside what the demo may take: 30 minutes on two quiet cores."""

from collections.abc import Mapping

import pandas as pd

EXPERIMENT = "demo"  # conf/experiment/demo.yaml, the only one that the budget is for
# Ours: seconds at the demo's own settings, set beforehand from the cost of a training step, a
# forward pass and a map; the parts of the 30 minutes that `make reproduce` may take.
BUDGET = {
    "render, index, pack": 90,
    "pre-training and training": 560,
    "detectors and regressor": 190,
    "lungs, predictions, statistics": 90,
    "maps": 250,
    "maps of films with zone scores": 190,
    "insertion and deletion": 180,
    "Sensitivity-N": 100,
    "sanity checks, ROAD": 50,
    "other metrics, tables, figures": 60,
}
_PART_OF_STAGE = {
    **dict.fromkeys(("render", "index", "pack"), "render, index, pack"),
    **dict.fromkeys(("pretrain", "train"), "pre-training and training"),
    **dict.fromkeys(("frozen_features", "finetune"), "detectors and regressor"),
    **dict.fromkeys(
        ("lung_network", "lungs", "zones", "predict", "statistics"),
        "lungs, predictions, statistics",
    ),
}
_PART_OF_METRIC = {
    "insertion_deletion": "insertion and deletion",
    **dict.fromkeys(("output_changes", "sensitivity_n"), "Sensitivity-N"),
    **dict.fromkeys(("sanity", "road"), "sanity checks, ROAD"),
}
_OF_SCORED_FILMS = ("detector", "severity")  # models that a stage's title ends with


def part_of(title: str) -> str:
    """The line of BUDGET that a stage belongs to."""
    name, *variant = title.split()
    if name == "attribute":
        return "maps of films with zone scores" if variant[-1] in _OF_SCORED_FILMS else "maps"
    if name == "evaluate":
        return _PART_OF_METRIC.get(variant[0], "other metrics, tables, figures")
    return _PART_OF_STAGE.get(name, "other metrics, tables, figures")


def budget_table(experiment: str, seconds: Mapping[str, float]) -> pd.DataFrame:
    """Columns part, seconds and, for the experiment that has one, budget; the last row is the sum.

    ``seconds``: title of a stage -> what its manifest says, whether it was made now or found.
    """
    took = pd.Series(seconds, dtype=float).groupby(part_of).sum()
    table = pd.DataFrame({"part": list(BUDGET)})
    table["seconds"] = table["part"].map(took).fillna(0.0)
    if experiment == EXPERIMENT:
        table["budget"] = table["part"].map(BUDGET)
    total = {"part": "sum", **table.drop(columns="part").sum()}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    return table.astype({"budget": int}) if "budget" in table else table
