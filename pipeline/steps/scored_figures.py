"""Scored figures: the pictures of the films with zone scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from data.brixia_score import ZONES
from pipeline.step import Source, Step, Work
from pipeline.steps.evaluated_films import EvaluatedFilms
from pipeline.steps.gallery import DRAWN_BY, Gallery, read_table
from pipeline.steps.prediction import read_outputs
from pipeline.steps.zones import read_zones

if TYPE_CHECKING:
    from evaluation.overlays import Example

DETECTOR_OF_THREES = "Detector3"
FIG3A_METHOD = "regression_iba_dv"  # paper


@dataclass(frozen=True)
class ScoredFigures(Step):
    """The pictures of the detectors' and the regressor's tables, films and maps."""

    version: ClassVar = 4
    code: ClassVar = DRAWN_BY
    tables: Source
    trainings: Mapping[str, Source]
    pack: Source
    zones: Source
    detector_prediction: Source
    detector_samples: Source
    detector_maps: Mapping[str, Source]
    severity_prediction: Source
    severity_samples: Source
    severity_maps: Mapping[str, Source]
    hash_ids: bool

    def run(self, work: Work) -> None:
        from evaluation.classification_charts import precision_recall_figure, roc_figure
        from evaluation.examples import SCORED_RULE
        from evaluation.paper_pictures import FIG1_METHODS, fig1_row

        gallery, tables = Gallery(work), work[self.tables]
        gallery.add_trainings(self.trainings)
        if (table := read_table(tables, "fig3b")) is not None:
            gallery.add_sensitivity_n("fig3b", table)
        if (films := read_table(tables, "detectors_samples")) is not None:
            alt = "True over false positive rate, by detector."
            gallery.add("roc_detectors", roc_figure(films), alt)
            alt = "Precision over recall, by detector."
            gallery.add("precision_recall_detectors", precision_recall_figure(films), alt)
        note = "no figure 1: the run has no map of"
        if not gallery.lacks(self.detector_maps, FIG1_METHODS, note):
            if (example := self._detected(work, FIG1_METHODS)) is not None:
                gallery.add_films("fig1_scored", [fig1_row([example])], SCORED_RULE)
            else:
                work.note("no figure 1: no explained film has zones of score 3 and others")
        note = "no figure 3a: the run has no map of"
        if not gallery.lacks(self.severity_maps, [FIG3A_METHOD], note):
            if (example := self._severity(work, [FIG3A_METHOD])) is not None:
                gallery.add_films("fig3a", [example], SCORED_RULE, severity=True)
            else:
                work.note("no figure 3a: no explained film has zones of score 3 and others")
        gallery.close()

    def _detected(self, work: Work, methods: Sequence[str]) -> "Example | None":
        """The film of Fig. 1 with its scored zones, or None."""
        evaluated = EvaluatedFilms.read(
            work[self.detector_samples],
            work[self.pack],
            {method: work[maps] for method, maps in self.detector_maps.items()},
            hash_ids=self.hash_ids,
            prediction=work[self.detector_prediction],
        )
        threes = np.flatnonzero(evaluated.samples["finding"] == DETECTOR_OF_THREES)
        return self._scored(work, evaluated, threes, methods, marked=3)

    def _severity(self, work: Work, methods: Sequence[str]) -> "Example | None":
        """The film of Fig. 3a with its scored zones and predicted severity, or None."""
        evaluated = EvaluatedFilms.read(
            work[self.severity_samples],
            work[self.pack],
            {method: work[maps] for method, maps in self.severity_maps.items()},
            hash_ids=self.hash_ids,
        )
        samples = evaluated.samples
        example = self._scored(work, evaluated, np.arange(len(samples)), methods, marked=None)
        if example is None:
            return None
        names, outputs = read_outputs(work[self.severity_prediction])
        image = samples["image"][samples["sample"] == example.sample].iloc[0]
        return replace(example, severity=float(outputs[names.index(image), 0]))

    def _scored(
        self,
        work: Work,
        evaluated: EvaluatedFilms,
        positions: np.ndarray,
        methods: Sequence[str],
        marked: int | None,
    ) -> "Example | None":
        from evaluation.examples import choose_scored
        from evaluation.overlays import ScoredZones

        samples, zones = evaluated.samples, read_zones(work[self.zones])
        positions = positions[np.isin(samples["image"].to_numpy()[positions], zones.images)]
        chosen = choose_scored(samples[list(ZONES)].to_numpy()[positions])
        if chosen is None:
            return None
        position = int(positions[chosen])
        example = evaluated.examples([position], methods)[0]
        numbers = np.arange(1, len(ZONES) + 1)[:, None, None]
        masks = zones.of([samples["image"].iloc[position]]) == numbers
        scores = samples[list(ZONES)].iloc[position].to_numpy(int)
        return replace(example, zones=ScoredZones(masks, scores, marked))
