"""figures: the pictures of the films with zone scores."""

import pandas as pd

from pipeline.graph import Stage, Task
from pipeline.stages.figures import ALT_TEXTS, draw_training
from pipeline.store import write_json


def stage(tables: Stage, trainings: dict[str, Stage]) -> Stage:
    return Stage(
        name="figures",
        version=1,
        settings={"trainings": list(trainings)},
        inputs={
            "tables": tables,
            **{f"train_{name}": stage for name, stage in trainings.items()},
        },
        run=lambda task: run(task, tuple(trainings)),
        sources=("evaluation/figures.py", "evaluation/metric_figures.py"),
        variant="brixia",
    )


def run(task: Task, trainings: tuple[str, ...]) -> None:
    from evaluation.figures import png
    from evaluation.metric_figures import sensitivity_n_figure

    alt_texts: dict[str, str] = {}
    for name in trainings:
        alt_texts |= draw_training(task, name)
    path = task.inputs["tables"] / "fig3b.csv"
    if path.exists():
        table = pd.read_csv(path, na_values=["n/a"])
        (task.folder / "fig3b.png").write_bytes(png(sensitivity_n_figure(table)))
        means = table.groupby("method", sort=False)["correlation"].mean()
        alt_texts["fig3b"] = (
            "Mean correlation over n of each method on the regressor: "
            + "; ".join(f"{method}: {value:.3f}" for method, value in means.items())
        )
    write_json(task.folder / ALT_TEXTS, alt_texts)
