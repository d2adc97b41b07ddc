"""evaluate: AUC and average precision of a classifier on the test fold."""

from collections.abc import Sequence

import pandas as pd

from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.stages.predict import read_logits


def dataset_name(config: PipelineConfig) -> str:
    """What tables call the data: a phantom is never called NIH alone."""
    return {"phantoms": "nih_phantoms", "files": "nih"}[config.dataset.source.value]


def stage(
    config: PipelineConfig,
    dataset: str,
    model: str,
    labels: Sequence[str],
    predict: Stage,
    index: Stage,
) -> Stage:
    """``dataset`` and ``model`` are what the table calls them."""
    return Stage(
        name="evaluate",
        version=2,
        settings={
            "metric": "classification",
            "bootstrap": section(config.evaluation.bootstrap),
            "seed": config.seed,
            "dataset": dataset,
            "model": model,
        },
        inputs={"predict": predict, "index": index},
        run=lambda task: run(task, dataset, model, list(labels)),
        sources=("evaluation/classification.py", "evaluation/bootstrap.py"),
        variant=f"classification {dataset} {model}",
    )


def run(task: Task, dataset: str, model: str, labels: list[str]) -> None:
    from evaluation.classification import classification_table
    from evaluation.tables import write_csv

    config = task.config
    names, logits = read_logits(task.inputs["predict"])
    images = pd.read_csv(task.inputs["index"] / "images.csv", dtype={"image": str})
    images = images.set_index("image").loc[names]
    table = classification_table(
        dataset,
        model,
        labels,
        images[labels].to_numpy(),
        logits,
        images["patient"].to_numpy(),
        config.evaluation.bootstrap,
        config.seed,
    )
    write_csv(table, task.folder / "classification.csv")
    scores = pd.DataFrame(logits, columns=[f"logit_{label}" for label in labels])
    labelled = images[["patient", *labels]].reset_index()
    labelled.insert(0, "model", model)
    scores = pd.concat([labelled, scores], axis="columns")
    scores.to_csv(task.folder / "classification_samples.csv", index=False)
    undefined = table.loc[table["auc"].isna(), "class"].tolist()
    if undefined:
        task.note(f"no AUC for {', '.join(undefined)}: no positive or no negative test film")
