"""The pictures that a step draws, as PNG and PDF, and what is said of each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.step import Source, Work
from pipeline.store import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from evaluation.overlays import Example

DRAWN_BY: tuple[str, ...] = (
    "evaluation/classification_charts.py",
    "evaluation/examples.py",
    "evaluation/charts.py",
    "evaluation/method_grid.py",
    "evaluation/metric_charts.py",
    "evaluation/overlays.py",
    "evaluation/paper_pictures.py",
)
RECORD = "figures.json"
"""name -> alt, caption, films, methods: words, whether pixels of films are in the picture, and
whose maps or numbers it shows."""


@dataclass(frozen=True)
class Gallery:
    """Draws into the folder of a step's work; ``close`` writes what is said of the pictures."""

    work: Work
    record: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(
        self,
        name: str,
        figure: "Figure",
        alt: str,
        caption: str = "",
        films: bool = False,
        methods: Iterable[str] = (),
    ) -> None:
        """``methods``: whose maps or numbers the picture shows."""
        from evaluation.charts import pdf, png

        (self.work.folder / f"{name}.png").write_bytes(png(figure))
        (self.work.folder / f"{name}.pdf").write_bytes(pdf(figure))
        self.describe(name, alt, caption, films, methods)

    def describe(
        self, name: str, alt: str, caption: str, films: bool, methods: Iterable[str] = ()
    ) -> None:
        shown = {"alt": alt, "caption": caption, "films": films, "methods": list(methods)}
        self.record[name] = shown

    def add_median_and_worst(
        self,
        name: str,
        *,
        groups: Mapping[str, np.ndarray],
        method: str,
        values: np.ndarray,
        right: np.ndarray,
        row: "Callable[[int], Example]",
        metric: str = "IoU",
        predicted: str | None = None,
    ) -> None:
        """Of each of ``groups``, by what films are called, the film of the median and of the least
        value of ``method``: see ``evaluation.examples.median_and_worst``.

        A group holds positions in ``values`` (N,), which are of ``metric``, and ``right`` (N,), in
        words ``predicted`` (None: a probability of a half). ``row``: what is drawn of a position.
        Without a film there is no figure, which is noted.
        """
        from evaluation.examples import PREDICTED, median_and_worst, median_rule
        from evaluation.method_names import method_label
        from evaluation.overlays import mosaic

        roles = ("Median film", f"Worst of {method_label(method)}")
        examples = [
            replace(row(int(positions[chosen])), role=role)
            for positions in groups.values()
            for chosen, role in zip(
                median_and_worst(values[positions], right[positions]), roles, strict=False
            )
        ]
        films = " and of ".join(groups)
        if not examples:
            self.work.note(f"no {name}: of {films} nothing was measured by {method}")
            return
        of_method = f"{metric} by {method_label(method)}"
        caption = median_rule(films, of_method, predicted or PREDICTED)
        if examples[0].causal is not None and examples[0].boxes:
            caption += " Blue: the box; white: the pixels that the finding changes."
        elif examples[0].causal is not None:
            caption += " White: the finding as readers outlined it."
        alt = " ".join(example.describe() for example in examples)
        methods = examples[0].maps
        self.add(name, mosaic(examples), alt, caption, films=True, methods=methods)

    def add_sensitivity_n(self, name: str, table: pd.DataFrame) -> None:
        from evaluation.charts import method_label
        from evaluation.metric_charts import sensitivity_n_figure

        means = table.groupby("method", sort=False)["correlation"].mean()
        alt = "Mean correlation over n of each method: " + "; ".join(
            f"{method_label(str(method))}: {value:.3f}" for method, value in means.items()
        )
        methods = table["method"].unique()
        self.add(name, sensitivity_n_figure(table), alt, methods=methods)

    def add_trainings(self, trainings: Mapping[str, Source]) -> None:
        """Draws the history of each training; none without epochs."""
        from evaluation.charts import training_curves

        for name, source in trainings.items():
            path = self.work[source] / "history.csv"
            if not path.exists():
                continue
            history = pd.read_csv(path)
            kept = int(history["epoch"].iloc[int(history["val_loss"].argmin())])
            alt = (
                f"Training and validation loss and the validation metric over {len(history)}"
                f" epochs; the weights of epoch {kept} were kept."
            )
            self.add(f"training_{name}", training_curves(history, kept), alt)

    def lacks(self, maps: Mapping[str, Source], methods: Sequence[str], note: str) -> bool:
        """Whether the run has no map of some of a figure's ``methods``, which it notes."""
        if absent := [method for method in methods if method not in maps]:
            self.work.note(f"{note} {', '.join(absent)}")
        return bool(absent)

    def close(self) -> None:
        write_json(self.work.folder / RECORD, self.record)


def least_recalls(folder: Path, task: str) -> pd.DataFrame:
    """Recall of the region that each map marks least, in the tables of a finished step: a row for
    each sample of ``task``, a column for each method; empty where it was not measured."""
    table = read_table(folder, "all_regions_samples")
    if table is None:
        return pd.DataFrame()
    if "task" in table:
        table = table[table["task"] == task]
    table = table[table["metric"] == "least_recall"]
    return table.pivot(index="sample", columns="method", values="value")


def read_table(folder: Path, name: str) -> pd.DataFrame | None:
    """A table of a finished step; None where it was not asked for."""
    path = folder / f"{name}.csv"
    return pd.read_csv(path, na_values=["n/a"]) if path.exists() else None
