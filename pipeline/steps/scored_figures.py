"""Scored figures: the pictures of the films with zone scores."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from attribution.config import Score
from data.brixia_score import DETECTOR_OF_THREES, THREE, ZONES
from pipeline.step import Source, Step, Work
from pipeline.steps.evaluated_films import EvaluatedFilms
from pipeline.steps.gallery import DRAWN_BY, Gallery, least_recalls, read_table
from pipeline.steps.prediction import read_outputs
from pipeline.steps.zones import FilmZones, read_zones

if TYPE_CHECKING:
    from evaluation.overlays import Example, ScoredZones

FIG3A_METHOD = "regression_iba_dv"  # paper
FIG3A_METRIC = "pcc_lungs"  # without the background, which any map of lungs has right


@dataclass(frozen=True)
class ScoredFigures(Step):
    """The pictures of the detectors' and the regressor's tables, films and maps.

    The detectors' samples and maps are of the films with several zones of score 3, where these were
    explained. ``score``: of the detectors, that was explained.
    """

    version: ClassVar = 7
    code: ClassVar = DRAWN_BY
    tables: Source
    trainings: Mapping[str, Source]
    pack: Source
    zones: Source
    detector_prediction: Source
    detector_samples: Source
    detector_maps: Mapping[str, Source]
    score: Score
    severity_prediction: Source
    severity_samples: Source
    severity_maps: Mapping[str, Source]
    hash_ids: bool

    def run(self, work: Work) -> None:
        from evaluation.classification_charts import precision_recall_figure, roc_figure

        gallery, tables = Gallery(work), work[self.tables]
        gallery.add_trainings(self.trainings)
        if (table := read_table(tables, "fig3b")) is not None:
            gallery.add_sensitivity_n("fig3b", table)
        if (films := read_table(tables, "detectors_samples")) is not None:
            alt = "True over false positive rate, by detector."
            gallery.add("roc_detectors", roc_figure(films), alt)
            alt = "Precision over recall, by detector."
            gallery.add("precision_recall_detectors", precision_recall_figure(films), alt)
        self._detected(work, gallery)
        self._severity(work, gallery)
        gallery.close()

    def _detected(self, work: Work, gallery: Gallery) -> None:
        """Fig. 1 of the films with scored zones."""
        from evaluation.examples import MIXED_SCORES
        from evaluation.paper_pictures import FIG1_METHOD, FIG1_METHODS, fig1_row

        recalls = least_recalls(work[self.tables], "threes")
        if not {*FIG1_METHODS} <= {*recalls}:
            work.note("no fig1_scored: no film with several zones of score 3 has both maps")
            return
        evaluated, zones = self._detectors(work), read_zones(work[self.zones])
        recalls = recalls.reindex(evaluated.samples["sample"])

        def row(position: int) -> "Example":
            example = evaluated.examples([position], FIG1_METHODS)[0]
            sample = evaluated.samples.iloc[position]
            row = fig1_row([replace(example, zones=_scored_zones(zones, sample, marked=THREE))])
            notes = {
                method: (*lines, f"recall of the least: {recalls[method].iloc[position]:.2f}")
                for method, lines in row.notes.items()
            }
            return replace(row, notes=notes)

        gallery.add_median_and_worst(
            "fig1_scored",
            groups={MIXED_SCORES: np.flatnonzero(_mixed(evaluated.samples, zones))},
            method=FIG1_METHOD,
            values=recalls[FIG1_METHOD].to_numpy(np.float64),
            right=evaluated.right,
            row=row,
            metric="recall of the least zone",
        )

    def _severity(self, work: Work, gallery: Gallery) -> None:
        """Fig. 3a: films with their scored zones, the detectors' maps and the regressor's."""
        from evaluation.examples import MIXED_SCORES, PREDICTED_SEVERITY, RIGHT_POINTS
        from evaluation.paper_pictures import FIG1_METHODS

        if gallery.lacks(self.severity_maps, [FIG3A_METHOD], "no figure 3a: the run has no map of"):
            return
        if (table := read_table(work[self.tables], "pcc_samples")) is None:
            work.note("no figure 3a: the correlation with the zones was not measured")
            return
        regressor, detectors = self._regressor(work), self._detectors(work)
        zones, samples = read_zones(work[self.zones]), regressor.samples
        methods = [method for method in FIG1_METHODS if method in self.detector_maps]
        of_threes = detectors.samples[detectors.samples["finding"] == DETECTOR_OF_THREES]
        shown = samples["image"].isin(of_threes["image"]).to_numpy() | (not methods)
        pcc = table[table["method"] == FIG3A_METHOD].set_index("sample")[FIG3A_METRIC]
        values = pcc.reindex(samples["sample"]).to_numpy(np.float64)
        names, outputs = read_outputs(work[self.severity_prediction])
        predicted = pd.Series(outputs[:, 0], index=names)[samples["image"]].to_numpy(np.float64)
        right = np.abs(predicted - samples["score"].to_numpy()) <= RIGHT_POINTS
        positions = np.flatnonzero(_mixed(samples, zones) & shown)

        def row(position: int) -> "Example":
            sample = samples.iloc[position]
            example = regressor.examples([position], [FIG3A_METHOD])[0]
            maps, notes = dict[str, np.ndarray](), dict[str, tuple[str, ...]]()
            if methods:
                same = np.flatnonzero(of_threes["image"] == sample["image"])
                detected = detectors.examples([int(of_threes.index[same[0]])], methods)[0]
                maps.update(detected.maps)
                said = f"{DETECTOR_OF_THREES} predicts {detected.probability:.2f}"
                notes.update({m: (said, *lines) for m, lines in detected.notes.items()})
            correlated = f"PCC in the lungs {values[position]:.2f}"
            return replace(
                example,
                zones=_scored_zones(zones, sample, marked=None),
                severity=float(predicted[position]),
                maps={**maps, **example.maps},
                notes={**notes, FIG3A_METHOD: (correlated, *example.notes[FIG3A_METHOD])},
            )

        gallery.add_median_and_worst(
            "fig3a",
            groups={MIXED_SCORES: positions},
            method=FIG3A_METHOD,
            values=values,
            right=right,
            row=row,
            metric="correlation with the scores within the lungs",
            predicted=PREDICTED_SEVERITY,
        )

    def _detectors(self, work: Work) -> EvaluatedFilms:
        return EvaluatedFilms.read(
            work[self.detector_samples],
            work[self.pack],
            {method: work[maps] for method, maps in self.detector_maps.items()},
            hash_ids=self.hash_ids,
            score=self.score,
            prediction=work[self.detector_prediction],
        )

    def _regressor(self, work: Work) -> EvaluatedFilms:
        return EvaluatedFilms.read(
            work[self.severity_samples],
            work[self.pack],
            {method: work[maps] for method, maps in self.severity_maps.items()},
            hash_ids=self.hash_ids,
            score=Score.output,
        )


def _mixed(samples: pd.DataFrame, zones: FilmZones) -> np.ndarray:
    """Which samples have known zones of mixed scores."""
    from evaluation.examples import mixed_scores

    known = samples["image"].isin(zones.images).to_numpy()
    mixed: np.ndarray = known & mixed_scores(samples[list(ZONES)].to_numpy())
    return mixed


def _scored_zones(zones: FilmZones, sample: pd.Series, marked: int | None) -> "ScoredZones":
    from evaluation.overlays import ScoredZones

    numbers = np.arange(1, len(ZONES) + 1)[:, None, None]
    masks = zones.of([sample["image"]]) == numbers
    return ScoredZones(masks, sample[list(ZONES)].to_numpy(int), marked)
