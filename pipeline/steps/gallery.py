"""The pictures that a step draws, as PNG and PDF, and what is said of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.step import Source, Work
from pipeline.store import write_json

if TYPE_CHECKING:
    from evaluation.overlays import Example

DRAWN_BY: tuple[str, ...] = (
    "evaluation/classification_charts.py",
    "evaluation/examples.py",
    "evaluation/charts.py",
    "evaluation/metric_charts.py",
    "evaluation/overlays.py",
    "evaluation/paper_pictures.py",
)
RECORD = "figures.json"
"""name -> alt, caption, films: words, and whether pixels of films are in the picture."""


@dataclass(frozen=True)
class Gallery:
    """Draws into the folder of a step's work; ``close`` writes what is said of the pictures."""

    work: Work
    record: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, figure: Any, alt: str, caption: str = "", films: bool = False) -> None:
        from evaluation.charts import pdf, png

        (self.work.folder / f"{name}.png").write_bytes(png(figure))
        (self.work.folder / f"{name}.pdf").write_bytes(pdf(figure))
        self.describe(name, alt, caption, films)

    def describe(self, name: str, alt: str, caption: str, films: bool) -> None:
        self.record[name] = {"alt": alt, "caption": caption, "films": films}

    def add_films(self, name: str, examples: "Sequence[Example]", rule: str, **how: Any) -> None:
        from evaluation.overlays import mosaic

        alt = " ".join(example.describe() for example in examples)
        self.add(name, mosaic(examples, **how), alt, rule, films=True)

    def add_sensitivity_n(self, name: str, table: pd.DataFrame) -> None:
        from evaluation.charts import method_label
        from evaluation.metric_charts import sensitivity_n_figure

        means = table.groupby("method", sort=False)["correlation"].mean()
        alt = "Mean correlation over n of each method: " + "; ".join(
            f"{method_label(str(method))}: {value:.3f}" for method, value in means.items()
        )
        self.add(name, sensitivity_n_figure(table), alt)

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


def read_table(folder: Path, name: str) -> pd.DataFrame | None:
    """A table of a finished step; None where it was not asked for."""
    path = folder / f"{name}.csv"
    return pd.read_csv(path, na_values=["n/a"]) if path.exists() else None
