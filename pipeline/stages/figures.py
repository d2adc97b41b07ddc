"""figures: the pictures of the report, from tables, maps and films."""

import numpy as np
import pandas as pd

from pipeline.config import PipelineConfig, section
from pipeline.graph import RawFolder, Stage, Task
from pipeline.stages.attribute import read_maps, read_samples
from pipeline.stages.predict import read_logits
from pipeline.store import write_json

ALT_TEXTS = "alt_texts.json"


def stage(
    config: PipelineConfig,
    films: Stage | RawFolder,
    pack: Stage,
    train: dict[str, Stage],
    predict: Stage,
    select: Stage,
    attribute: dict[str, Stage],
    tables: Stage,
) -> Stage:
    return Stage(
        name="figures",
        version=2,
        settings={"report": section(config.report), "methods": list(attribute)},
        inputs={
            # A contact sheet is made of phantoms only, and needs their masks.
            **({"phantoms": films} if isinstance(films, Stage) else {}),
            "pack": pack,
            **{f"train_{name}": stage for name, stage in train.items()},
            "predict": predict,
            "select": select,
            "tables": tables,
            **{f"maps_{method}": stage for method, stage in attribute.items()},
        },
        run=lambda task: run(task, tuple(train), tuple(attribute)),
        sources=(
            "evaluation/figures.py",
            "evaluation/metric_figures.py",
            "evaluation/overlays.py",
        ),
    )


def run(task: Task, trainings: tuple[str, ...], methods: tuple[str, ...]) -> None:
    from evaluation.figures import png, table1_figure
    from evaluation.metric_figures import fig2_figure, sensitivity_n_figure
    from evaluation.overlays import mosaic

    alt_texts: dict[str, str] = {}
    examples = choose(task, methods)
    (task.folder / "examples.png").write_bytes(png(mosaic(examples)))
    alt_texts["examples"] = " ".join(example.describe() for example in examples)
    tables = task.inputs["tables"]
    if (tables / "table1.csv").exists():
        table = pd.read_csv(tables / "table1.csv", na_values=["n/a"])
        (task.folder / "table1.png").write_bytes(png(table1_figure(table)))
        primary = table[table["primary"]]
        best = primary.iloc[int(primary["iou"].argmax())]
        alt_texts["table1"] = (
            f"Bars of the mean IoU of {len(primary)} methods and baselines with intervals;"
            f" the highest is {best['method']} with {best['iou']:.3f}."
        )
    if (tables / "fig2.csv").exists():
        table = pd.read_csv(tables / "fig2.csv", na_values=["n/a"])
        (task.folder / "fig2.png").write_bytes(png(fig2_figure(table)))
        alt_texts["fig2"] = "Insertion over deletion area of each method: " + "; ".join(
            f"{row.method}, {row.baseline}: {row.insertion_auc:.3f} over {row.deletion_auc:.3f}"
            for row in table.itertuples()
        )
    if (tables / "sensitivity_n.csv").exists():
        table = pd.read_csv(tables / "sensitivity_n.csv", na_values=["n/a"])
        (task.folder / "sensitivity_n.png").write_bytes(png(sensitivity_n_figure(table)))
        means = table.groupby("method", sort=False)["correlation"].mean()
        alt_texts["sensitivity_n"] = "Mean correlation over n of each method: " + "; ".join(
            f"{method}: {value:.3f}" for method, value in means.items()
        )
    for name in trainings:
        alt_texts |= draw_training(task, name)
    if "phantoms" in task.inputs:
        from data.phantom.contact_sheet import contact_sheet

        contact_sheet(task.inputs["phantoms"], task.folder / "contact_sheet.png")
        alt_texts["contact_sheet"] = (
            "A sheet of phantom chest films of every finding, with boxes and mask outlines."
        )
    write_json(task.folder / ALT_TEXTS, alt_texts)


def draw_training(task: Task, name: str) -> dict[str, str]:
    """Draws the history of the task's ``train_<name>`` input, and says so; none without epochs."""
    from evaluation.figures import png, training_curves

    history_file = task.inputs[f"train_{name}"] / "history.csv"
    if not history_file.exists():
        return {}
    history = pd.read_csv(history_file)
    kept = int(history["epoch"].iloc[int(history["val_loss"].argmin())])
    (task.folder / f"training_{name}.png").write_bytes(png(training_curves(history, kept)))
    return {
        f"training_{name}": (
            f"Training and validation loss and the validation metric over {len(history)} epochs;"
            f" the weights of epoch {kept} were kept."
        )
    }


def choose(task: Task, methods: tuple[str, ...]) -> list:
    """The examples of the mosaic with their films, maps and predicted probabilities."""
    from data.packing import PackedFilms
    from evaluation.overlays import Example, choose_examples

    samples = read_samples(task.inputs["select"])
    names, logits = read_logits(task.inputs["predict"])
    rows = pd.Series(np.arange(len(names)), index=names)[samples["image"]].to_numpy()
    targets = samples["target"].to_numpy()
    probabilities = 1 / (1 + np.exp(-logits[rows, targets].astype(np.float64)))
    count = task.config.report.examples_per_finding
    chosen = choose_examples(samples, probabilities, count)
    films = PackedFilms(task.inputs["pack"]).load(samples["image"].iloc[chosen].tolist())
    size = task.config.attribution.shard_size
    maps = {
        method: read_maps(task.inputs[f"maps_{method}"], chosen.tolist(), size)
        for method in methods
    }
    boxes = samples[["x", "y", "w", "h"]].to_numpy(float)
    return [
        Example(
            sample=int(samples["sample"].iloc[position]),
            image=samples["image"].iloc[position],
            finding=samples["finding"].iloc[position],
            probability=float(probabilities[position]),
            film=films[number],
            maps={method: maps[method][number] for method in methods},
            box=tuple(boxes[position]),
        )
        for number, position in enumerate(chosen)
    ]
