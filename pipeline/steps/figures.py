"""Figures: the pictures of the report, from tables, maps and films."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from attribution.config import Score
from pipeline.step import Source, Step, Work
from pipeline.steps.evaluated_films import EvaluatedFilms
from pipeline.steps.gallery import DRAWN_BY, Gallery, least_recalls, read_table

if TYPE_CHECKING:
    from evaluation.overlays import Example


@dataclass(frozen=True)
class Figures(Step):
    """The pictures of the films with boxes, and of the tables.

    ``films``: where they are phantoms, of which a contact sheet is made. ``dataset``: what tables
    call them. ``causal``: outlines of what the findings change, of phantoms, or of what readers
    drew; ``score``: what was explained. The ``lesion_`` inputs are of the samples with several
    lesions, where there are any.
    """

    version: ClassVar = 9
    code: ClassVar = DRAWN_BY
    films: Source | None
    pack: Source
    trainings: Mapping[str, Source]
    prediction: Source
    samples: Source
    causal: Source | None
    maps: Mapping[str, Source]
    lesion_samples: Source | None
    lesion_causal: Source | None
    lesion_maps: Mapping[str, Source]
    score: Score
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
        """All methods on a film of each finding, and the paper's figures that show films."""
        from evaluation.examples import EXAMPLE_RULE, choose_examples
        from evaluation.method_grid import method_grid

        iou = work[self.tables] / "table1_samples.csv"
        evaluated = self._evaluated(work, self.samples, self.maps, self.causal, iou)
        chosen = choose_examples(
            evaluated.samples, evaluated.predicted, self.examples_per_finding
        ).tolist()
        examples = evaluated.examples(chosen, list(self.maps))
        alt = " ".join(example.describe() for example in examples)
        grid = method_grid(examples)
        gallery.add("examples", grid, alt, EXAMPLE_RULE, films=True, methods=self.maps)
        self._both_sides(work, gallery, evaluated)
        self._all_lesions(work, gallery)
        self._finer(work, gallery, evaluated)

    def _evaluated(
        self,
        work: Work,
        samples: Source,
        maps: Mapping[str, Source],
        causal: Source | None,
        iou: Path | None = None,
    ) -> EvaluatedFilms:
        return EvaluatedFilms.read(
            work[samples],
            work[self.pack],
            {method: work[source] for method, source in maps.items()},
            hash_ids=self.hash_ids,
            score=self.score,
            prediction=work[self.prediction],
            iou=iou,
            causal=None if causal is None else work[causal],
        )

    def _both_sides(self, work: Work, gallery: Gallery, evaluated: EvaluatedFilms) -> None:
        """Fig. 1 of the films with boxes."""
        from evaluation.examples import TWO_SIDED, on_both_sides
        from evaluation.paper_pictures import FIG1_METHOD, FIG1_METHODS, fig1_row

        samples = evaluated.samples
        if gallery.lacks(self.maps, FIG1_METHODS, "no figure 1: attribution.methods lacks"):
            return
        if "x" not in samples:
            work.note("no figure 1: the films have no boxes")
            return
        two_sided = np.flatnonzero(on_both_sides(samples))
        # Boxes of a finding on a film are one row, known by the first of them.
        first = two_sided[~samples.iloc[two_sided].duplicated(["image", "finding"])]

        def row(position: int) -> "Example":
            of_film = (samples["image"] == samples["image"][position]) & (
                samples["finding"] == samples["finding"][position]
            )
            return fig1_row(evaluated.examples(np.flatnonzero(of_film).tolist(), FIG1_METHODS))

        gallery.add_median_and_worst(
            "fig1",
            groups={TWO_SIDED: first},
            method=FIG1_METHOD,
            values=evaluated.iou_of(FIG1_METHOD),
            right=evaluated.right,
            row=row,
        )

    def _all_lesions(self, work: Work, gallery: Gallery) -> None:
        """Fig. 1 of phantoms with several lesions of a finding, which the causal outlines show."""
        from evaluation.paper_pictures import FIG1_METHOD, FIG1_METHODS

        if self.lesion_samples is None:
            return  # of phantoms alone
        recalls = least_recalls(work[self.tables], "lesions")
        if not {*FIG1_METHODS} <= {*recalls}:
            work.note("no fig1_lesions: no film with several lesions of a finding has both maps")
            return
        evaluated = self._evaluated(work, self.lesion_samples, self.lesion_maps, self.lesion_causal)
        recalls = recalls.reindex(evaluated.samples["sample"])

        def row(position: int) -> "Example":
            example = evaluated.examples([position], FIG1_METHODS)[0]
            notes = {
                method: (*lines, f"recall of the least: {recalls[method].iloc[position]:.2f}")
                for method, lines in example.notes.items()
            }
            return replace(example, notes=notes)

        least = recalls[FIG1_METHOD].to_numpy(np.float64)
        gallery.add_median_and_worst(
            "fig1_lesions",
            groups={"films with several lesions of a finding": np.flatnonzero(~np.isnan(least))},
            method=FIG1_METHOD,
            values=least,
            right=evaluated.right,
            row=row,
            metric="recall of the least lesion",
        )

    def _finer(self, work: Work, gallery: Gallery, evaluated: EvaluatedFilms) -> None:
        """Fig. 4."""
        from evaluation.paper_pictures import FIG4_FINDINGS, FIG4_METHOD, FIG4_METHODS

        if gallery.lacks(self.maps, FIG4_METHODS, "no figure 4: attribution.methods lacks"):
            return
        findings = evaluated.samples["finding"].to_numpy()
        gallery.add_median_and_worst(
            "fig4",
            groups={f"boxes of {name}": np.flatnonzero(findings == name) for name in FIG4_FINDINGS},
            method=FIG4_METHOD,
            values=evaluated.iou_of(FIG4_METHOD),
            right=evaluated.right,
            row=lambda position: evaluated.examples([position], FIG4_METHODS)[0],
        )

    def _tables(self, work: Work, gallery: Gallery) -> None:
        """The pictures of tables; a table that was not asked for has none."""
        from evaluation.charts import method_label, table1_figure
        from evaluation.classification_charts import precision_recall_figure, roc_figure
        from evaluation.metric_charts import fig2_figure

        folder = work[self.tables]
        if (table := read_table(folder, "table1")) is not None:
            primary = table[table["primary"]]
            bars = primary.sort_values("iou", ascending=False)
            alt = "Bars of the mean IoU with intervals: " + "; ".join(
                f"{method_label(str(row.method))}: {row.iou:.3f}" for row in bars.itertuples()
            )
            gallery.add("table1", table1_figure(table), alt, methods=bars["method"])
        if (table := read_table(folder, "fig2")) is not None:
            alt = "Insertion over deletion area of each method: " + "; ".join(
                f"{row.dataset}, {method_label(str(row.method))}, {row.baseline}:"
                f" {row.insertion_auc:.3f} over {row.deletion_auc:.3f}"
                for row in table.itertuples()
            )
            gallery.add("fig2", fig2_figure(table), alt, methods=table["method"].unique())
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
