"""tables: the contract tables, with the per-sample rows that each number comes from."""

from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import read_samples
from pipeline.stages.localization import read_curves


def stage(
    config: PipelineConfig,
    select: Stage,
    classification: dict[str, Stage],
    measured: dict[str, dict[str, Stage]],
) -> Stage:
    return Stage(
        name="tables",
        version=1,
        settings={
            "localization": section(config.evaluation.localization),
            "bootstrap": section(config.evaluation.bootstrap),
            "seed": config.seed,
            "methods": {metric: list(stages) for metric, stages in measured.items()},
        },
        inputs={
            "select": select,
            **{f"classification_{loss}": stage for loss, stage in classification.items()},
            **{
                f"{metric}_{method}": stage
                for metric, stages in measured.items()
                for method, stage in stages.items()
            },
        },
        run=lambda task: run(task, tuple(classification), tuple(localization)),
        sources=("evaluation/tables.py", "evaluation/bootstrap.py", "evaluation/paper_values.csv"),
    )


def run(task: Task, losses: tuple[str, ...], methods: tuple[str, ...]) -> None:
    from evaluation.localization import threshold_grid
    from evaluation.tables import table1, write_csv

    evaluation = task.config.evaluation
    for name in ("classification.csv", "classification_samples.csv"):
        parts = [task.inputs[f"classification_{loss}"] / name for loss in losses]
        texts = [part.read_text(encoding="utf-8").split("\n", 1) for part in parts]
        rows = "".join(text[1] for text in texts)
        (task.folder / name).write_text(f"{texts[0][0]}\n{rows}", encoding="utf-8")
    if methods:
        table, samples = table1(
            read_samples(task.inputs["select"]),
            {method: read_curves(task.inputs[f"localization_{method}"]) for method in methods},
            threshold_grid(evaluation.localization.thresholds),
            evaluation.localization,
            evaluation.bootstrap,
            task.config.seed,
        )
        write_csv(table, task.folder / "table1.csv")
        write_csv(samples, task.folder / "table1_samples.csv")
