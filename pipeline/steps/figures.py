"""Figures: the pictures of the report, from tables, maps and films."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pipeline.step import Source, Step, Work
from pipeline.steps.evaluated_films import EvaluatedFilms
from pipeline.steps.gallery import DRAWN_BY, Gallery, read_table


@dataclass(frozen=True)
class Figures(Step):
    """The pictures of the films with boxes, and of the tables.

    ``films``: where they are phantoms, of which a contact sheet is made. ``dataset``: what tables
    call them.
    """

    version: ClassVar = 6
    code: ClassVar = DRAWN_BY
    films: Source | None
    pack: Source
    trainings: Mapping[str, Source]
    prediction: Source
    samples: Source
    maps: Mapping[str, Source]
    tables: Source
    dataset: str
    examples_per_finding: int
    hash_ids: bool

    def run(self, work: Work) -> None:
        gallery = Gallery(work)
        self._films(work, gallery)
        self._tables(work, gallery)
        gallery.add_trainings(self.trainings)
        if self.films is not None:
            from data.phantom.contact_sheet import contact_sheet

            contact_sheet(work[self.films], work.folder / "contact_sheet.png")
            gallery.describe(
                "contact_sheet",
                "A sheet of phantom chest films of every finding, with boxes and mask outlines.",
                "Phantom films with the boxes and outlines of their lesions.",
                films=True,
            )
        gallery.close()

    def _films(self, work: Work, gallery: Gallery) -> None:
        """The mosaic of all methods, and the paper's figures that show films."""
        from evaluation.examples import (
            EXAMPLE_RULE,
            TWO_SIDED_RULE,
            choose_examples,
            choose_two_sided,
        )
        from evaluation.paper_pictures import FIG1_METHODS, FIG4_FINDINGS, FIG4_METHODS, fig1_row

        evaluated = EvaluatedFilms.read(
            work[self.samples],
            work[self.pack],
            {method: work[maps] for method, maps in self.maps.items()},
            hash_ids=self.hash_ids,
            prediction=work[self.prediction],
            tables=work[self.tables],
        )
        samples, probabilities = evaluated.samples, evaluated.predicted
        chosen = choose_examples(samples, probabilities, self.examples_per_finding).tolist()
        examples = evaluated.examples(chosen, list(self.maps))
        gallery.add_films("examples", examples, EXAMPLE_RULE)
        if not gallery.lacks(self.maps, FIG1_METHODS, "no figure 1: attribution.methods lacks"):
            if "x" not in samples:
                work.note("no figure 1: the films have no boxes")
            elif both_sides := choose_two_sided(samples, probabilities).tolist():
                row = fig1_row(evaluated.examples(both_sides, FIG1_METHODS))
                gallery.add_films("fig1", [row], TWO_SIDED_RULE)
            else:
                work.note("no figure 1: no evaluated finding lies on both sides of a film")
        if not gallery.lacks(self.maps, FIG4_METHODS, "no figure 4: attribution.methods lacks"):
            findings = samples["finding"].to_numpy()
            if rows := [row for name in FIG4_FINDINGS for row in chosen if findings[row] == name]:
                gallery.add_films("fig4", evaluated.examples(rows, FIG4_METHODS), EXAMPLE_RULE)
            else:
                work.note(f"no figure 4: no box of {' or '.join(FIG4_FINDINGS)} is evaluated")

    def _tables(self, work: Work, gallery: Gallery) -> None:
        """The pictures of tables; a table that was not asked for has none."""
        from evaluation.charts import method_label, table1_figure
        from evaluation.classification_charts import precision_recall_figure, roc_figure
        from evaluation.metric_charts import fig2_figure

        folder = work[self.tables]
        if (table := read_table(folder, "table1")) is not None:
            primary = table[table["primary"]]
            best = primary.iloc[int(primary["iou"].argmax())]
            alt = (
                f"Bars of the mean IoU of {len(primary)} methods and baselines with intervals;"
                f" the highest is {method_label(best['method'])} with {best['iou']:.3f}."
            )
            gallery.add("table1", table1_figure(table), alt)
        if (table := read_table(folder, "fig2")) is not None:
            alt = "Insertion over deletion area of each method: " + "; ".join(
                f"{row.dataset}, {method_label(str(row.method))}, {row.baseline}:"
                f" {row.insertion_auc:.3f} over {row.deletion_auc:.3f}"
                for row in table.itertuples()
            )
            gallery.add("fig2", fig2_figure(table), alt)
        if (table := read_table(folder, "sensitivity_n")) is not None:
            gallery.add_sensitivity_n("sensitivity_n", table)
        areas, films = (
            read_table(folder, name) for name in ("classification", "classification_samples")
        )
        if areas is not None and films is not None:
            # Of these films alone: the table has rows of the detectors too.
            own = (areas["class"] == "mean") & (areas["dataset"] == self.dataset)
            rows = areas[own].itertuples()
            means = "; ".join(f"{row.model}: {row.auc:.3f} and {row.ap:.3f}" for row in rows)
            alt = f"of every finding; mean area under the ROC curve and mean AP: {means}."
            gallery.add("roc", roc_figure(films), f"True over false positive rate {alt}")
            gallery.add(
                "precision_recall", precision_recall_figure(films), f"Precision-recall {alt}"
            )
