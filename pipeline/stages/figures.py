"""figures: the pictures of the report, from tables, maps and films, as PNG and PDF."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.config import PipelineConfig
from pipeline.evaluated_films import EvaluatedFilms
from pipeline.graph import RawFolder, Stage, Task
from pipeline.stages.classification import dataset_name
from pipeline.store import write_json

if TYPE_CHECKING:
    from evaluation.overlays import Example

DRAWN_BY = (
    "evaluation/classification_figures.py",
    "evaluation/examples.py",
    "evaluation/figures.py",
    "evaluation/metric_figures.py",
    "evaluation/overlays.py",
    "evaluation/paper_figures.py",
)
RECORD = "figures.json"
"""name -> alt, caption, films: words, and whether pixels of films are in the picture."""


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
        version=5,
        settings={
            "examples_per_finding": config.report.examples_per_finding,
            "hash_ids": config.report.hash_ids,
            "methods": list(attribute),
        },
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
        sources=DRAWN_BY,
    )


@dataclass(frozen=True)
class Gallery:
    """The pictures of a figures stage, and what is said of each."""

    folder: Path
    record: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, figure: Any, alt: str, caption: str = "", films: bool = False) -> None:
        from evaluation.figures import pdf, png

        (self.folder / f"{name}.png").write_bytes(png(figure))
        (self.folder / f"{name}.pdf").write_bytes(pdf(figure))
        self.describe(name, alt, caption, films)

    def describe(self, name: str, alt: str, caption: str, films: bool) -> None:
        self.record[name] = {"alt": alt, "caption": caption, "films": films}

    def add_films(self, name: str, examples: "Sequence[Example]", rule: str, **how: Any) -> None:
        from evaluation.overlays import mosaic

        alt = " ".join(example.describe() for example in examples)
        self.add(name, mosaic(examples, **how), alt, rule, films=True)

    def add_sensitivity_n(self, name: str, table: pd.DataFrame) -> None:
        from evaluation.figures import method_label
        from evaluation.metric_figures import sensitivity_n_figure

        means = table.groupby("method", sort=False)["correlation"].mean()
        alt = "Mean correlation over n of each method: " + "; ".join(
            f"{method_label(str(method))}: {value:.3f}" for method, value in means.items()
        )
        self.add(name, sensitivity_n_figure(table), alt)

    def add_training(self, folder: Path, name: str) -> None:
        """Draws the history of a training; none without epochs."""
        from evaluation.figures import training_curves

        history_file = folder / "history.csv"
        if not history_file.exists():
            return
        history = pd.read_csv(history_file)
        kept = int(history["epoch"].iloc[int(history["val_loss"].argmin())])
        alt = (
            f"Training and validation loss and the validation metric over {len(history)} epochs;"
            f" the weights of epoch {kept} were kept."
        )
        self.add(f"training_{name}", training_curves(history, kept), alt)

    def close(self) -> None:
        write_json(self.folder / RECORD, self.record)


def run(task: Task, trainings: Sequence[str], methods: Sequence[str]) -> None:
    gallery = Gallery(task.folder)
    _films(task, gallery, methods)
    _tables(task.inputs["tables"], gallery, dataset_name(task.config))
    for name in trainings:
        gallery.add_training(task.inputs[f"train_{name}"], name)
    if "phantoms" in task.inputs:
        from data.phantom.contact_sheet import contact_sheet

        contact_sheet(task.inputs["phantoms"], task.folder / "contact_sheet.png")
        gallery.describe(
            "contact_sheet",
            "A sheet of phantom chest films of every finding, with boxes and mask outlines.",
            "Phantom films with the boxes and outlines of their lesions.",
            films=True,
        )
    gallery.close()


def _films(task: Task, gallery: Gallery, methods: Sequence[str]) -> None:
    """The mosaic of all methods, and the paper's figures that show films."""
    from evaluation.examples import (
        EXAMPLE_RULE,
        TWO_SIDED_RULE,
        choose_examples,
        choose_two_sided,
    )
    from evaluation.paper_figures import FIG1_METHODS, FIG4_FINDINGS, FIG4_METHODS, fig1_row

    evaluated = EvaluatedFilms.read(task.config, task.inputs)
    samples, probabilities = evaluated.samples, evaluated.predicted
    count = task.config.report.examples_per_finding
    chosen = choose_examples(samples, probabilities, count).tolist()

    def explained(number: int, needed: Sequence[str]) -> bool:
        if absent := [method for method in needed if method not in methods]:
            task.note(f"no figure {number}: attribution.methods lacks {', '.join(absent)}")
        return not absent

    gallery.add_films("examples", evaluated.examples(chosen, methods), EXAMPLE_RULE)
    if explained(1, FIG1_METHODS):
        if both_sides := choose_two_sided(samples, probabilities).tolist():
            row = fig1_row(evaluated.examples(both_sides, FIG1_METHODS))
            gallery.add_films("fig1", [row], TWO_SIDED_RULE)
        else:
            task.note("no figure 1: no evaluated finding lies on both sides of a film")
    if explained(4, FIG4_METHODS):
        findings = samples["finding"].to_numpy()
        if rows := [at for finding in FIG4_FINDINGS for at in chosen if findings[at] == finding]:
            gallery.add_films("fig4", evaluated.examples(rows, FIG4_METHODS), EXAMPLE_RULE)
        else:
            task.note(f"no figure 4: no box of {' or '.join(FIG4_FINDINGS)} is evaluated")


def _tables(folder: Path, gallery: Gallery, dataset: str) -> None:
    """The pictures of tables; a table that was not asked for has none."""
    from evaluation.classification_figures import precision_recall_figure, roc_figure
    from evaluation.figures import method_label, table1_figure
    from evaluation.metric_figures import fig2_figure

    def read(name: str) -> pd.DataFrame | None:
        path = folder / f"{name}.csv"
        return pd.read_csv(path, na_values=["n/a"]) if path.exists() else None

    if (table := read("table1")) is not None:
        primary = table[table["primary"]]
        best = primary.iloc[int(primary["iou"].argmax())]
        alt = (
            f"Bars of the mean IoU of {len(primary)} methods and baselines with intervals;"
            f" the highest is {method_label(best['method'])} with {best['iou']:.3f}."
        )
        gallery.add("table1", table1_figure(table), alt)
    if (table := read("fig2")) is not None:
        alt = "Insertion over deletion area of each method: " + "; ".join(
            f"{row.dataset}, {method_label(str(row.method))}, {row.baseline}:"
            f" {row.insertion_auc:.3f} over {row.deletion_auc:.3f}"
            for row in table.itertuples()
        )
        gallery.add("fig2", fig2_figure(table), alt)
    if (table := read("sensitivity_n")) is not None:
        gallery.add_sensitivity_n("sensitivity_n", table)
    areas, films = read("classification"), read("classification_samples")
    if areas is not None and films is not None:
        # Of these films alone: the table has rows of the detectors too.
        own = (areas["class"] == "mean") & (areas["dataset"] == dataset)
        rows = areas[own].itertuples()
        means_text = "; ".join(f"{row.model}: {row.auc:.3f} and {row.ap:.3f}" for row in rows)
        alt = f"of every finding; mean area under the ROC curve and mean AP: {means_text}."
        gallery.add("roc", roc_figure(films), f"True over false positive rate {alt}")
        gallery.add("precision_recall", precision_recall_figure(films), f"Precision-recall {alt}")
