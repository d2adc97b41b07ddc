"""The films of the report's browser: of both halves the typical ones, the worst and the best."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from attribution.config import Score
from data.brixia_score import DETECTORS, ZONES
from evaluation.method_names import BASELINES, METHOD_LABELS
from pipeline.steps.evaluated_films import EvaluatedFilms
from pipeline.steps.gallery import read_table
from pipeline.steps.prediction import read_outputs
from pipeline.steps.scored_figures import FIG3A_METRIC
from pipeline.steps.zones import FilmZones, read_zones

if TYPE_CHECKING:  # they draw with matplotlib, for which no other command waits
    from evaluation.image_browser import ImageBrowser
    from evaluation.overlays import Example

_RULE = (
    "Typical: of each finding the film whose prediction is nearest to the finding's median. Worst"
    " and best: those whose maps agree least and most with the truth, by the mean over the methods"
    " (IoU; for the severity, the correlation with the scores in the lungs). Nobody chose by eye."
)

Inputs = Mapping[str, Path]
"""Field of a step that drew figures -> folder of its input; of a mapping ``<field>.<name>``."""


@dataclass(frozen=True)
class _Part:
    """A part of the run: ``predicted`` and ``agreement`` (N,) of its samples, the latter in words
    ``measure``; ``correlated``: method -> what to say of each sample's map."""

    title: str
    evaluated: EvaluatedFilms
    predicted: np.ndarray
    agreement: np.ndarray
    measure: str
    zones: FilmZones | None = None
    correlated: Mapping[str, np.ndarray] | None = None

    def examples(self, chosen: list[tuple[int, str]]) -> "list[Example]":
        """The films at these positions, each with its role; in the order of their findings."""
        order = {finding: n for n, finding in enumerate(self.evaluated.samples["finding"].unique())}
        findings = self.evaluated.samples["finding"].to_numpy()
        chosen = sorted(chosen, key=lambda each: order[findings[each[0]]])
        positions = [position for position, _ in chosen]
        shown = self.evaluated.examples(positions, list(self.evaluated.maps))
        return [
            self._scored(example, position, role)
            for example, (position, role) in zip(shown, chosen, strict=True)
        ]

    def _scored(self, example: "Example", position: int, role: str) -> "Example":
        """With its role and, of a scored film, its zones and what was predicted."""
        from evaluation.overlays import ScoredZones

        agreement = self.agreement[position]
        said = "" if np.isnan(agreement) else f", {self.measure} {agreement:.2f}"
        example = replace(example, role=f"{role}{said}")
        if self.zones is None:
            return example
        sample = self.evaluated.samples.iloc[position]
        numbers = np.arange(1, len(ZONES) + 1)[:, None, None]
        masks = self.zones.of([sample["image"]]) == numbers
        scores = sample[list(ZONES)].to_numpy(int)
        looks_for = DETECTORS.get(str(sample["finding"]), ())
        marked = looks_for[0] if len(looks_for) == 1 else None
        example = replace(example, zones=ScoredZones(masks, scores, marked))
        if self.correlated is None:
            return example
        notes = {
            method: (f"PCC in the lungs {values[position]:.2f}", *example.notes[method])
            for method, values in self.correlated.items()
            if np.isfinite(values[position])
        }
        severity = float(self.predicted[position])
        return replace(example, severity=severity, notes={**example.notes, **notes})


def browser(
    findings: Inputs,
    scored: Inputs | None,
    *,
    score: Score,
    hash_ids: bool,
    limit: int,
) -> "ImageBrowser":
    """At most ``limit`` films, of the findings and, where films have zone scores, as many of the
    detectors and of the severity; one of each finding in each role at least, the typical ones
    first. ``findings``, ``scored``: inputs of the steps that drew their figures."""
    from evaluation.image_browser import ROLES, ImageBrowser, choose_films

    parts = [_classified("Findings", findings, "", "table1", score, hash_ids)]
    if scored is not None:
        parts.append(_classified("Detectors", scored, "detector_", "table2", score, hash_ids))
        parts.append(_severity(scored, hash_ids))
    films: list[tuple[str, _Part, int]] = []
    for part in parts:
        samples = part.evaluated.samples
        chosen = choose_films(
            samples["finding"].tolist(),
            samples["sample"],
            part.predicted,
            part.agreement,
            max(1, limit // len(parts) // (len(ROLES) * samples["finding"].nunique())),
        )
        films += [(role, part, position) for position, role in chosen]
    shown = sorted(films, key=lambda film: ROLES.index(film[0]))[:limit]
    examples = {
        part.title: part.examples([(at, role) for role, of, at in shown if of is part])
        for part in parts
    }
    return ImageBrowser(_RULE, {title: films for title, films in examples.items() if films})


def _classified(
    title: str, inputs: Inputs, prefix: str, table: str, score: Score, hash_ids: bool
) -> _Part:
    """Of a classifier's films. ``prefix``: of its inputs; ``table``: whose samples have the IoU."""
    evaluated = EvaluatedFilms.read(
        inputs[f"{prefix}samples"],
        inputs["pack"],
        _maps(inputs, f"{prefix}maps."),
        hash_ids=hash_ids,
        score=score,
        prediction=inputs[f"{prefix}prediction"],
        iou=inputs["tables"] / f"{table}_samples.csv",
    )
    agreement = _mean([evaluated.iou_of(method) for method in evaluated.maps])
    zones = read_zones(inputs["zones"]) if "zones" in inputs else None
    return _Part(title, evaluated, evaluated.predicted, agreement, "mean IoU", zones)


def _severity(inputs: Inputs, hash_ids: bool) -> _Part:
    evaluated = EvaluatedFilms.read(
        inputs["severity_samples"],
        inputs["pack"],
        _maps(inputs, "severity_maps."),
        hash_ids=hash_ids,
        score=Score.output,
    )
    names, outputs = read_outputs(inputs["severity_prediction"])
    predicted = pd.Series(outputs[:, 0], index=names)[evaluated.samples["image"]]
    correlated = {}
    if (table := read_table(inputs["tables"], "pcc_samples")) is not None:
        by_map = table.set_index(["method", "sample"])[FIG3A_METRIC]
        for method in evaluated.maps:
            maps = pd.MultiIndex.from_product([[method], evaluated.samples["sample"]])
            correlated[method] = by_map.reindex(maps).to_numpy(np.float64)
    unknown = np.full(len(evaluated.samples), np.nan)
    return _Part(
        "Severity",
        evaluated,
        predicted.to_numpy(np.float64),
        _mean(list(correlated.values()) or [unknown]),
        "mean PCC in the lungs",
        read_zones(inputs["zones"]),
        correlated,
    )


def _maps(inputs: Inputs, prefix: str) -> dict[str, Path]:
    """Method -> folder of its maps, in the order of print; a baseline's tell nothing of a film."""
    maps = {name.removeprefix(prefix): f for name, f in inputs.items() if name.startswith(prefix)}
    order = dict.fromkeys([*METHOD_LABELS, *maps])
    return {each: maps[each] for each in order if each in maps and each not in BASELINES}


def _mean(of_methods: list[np.ndarray]) -> np.ndarray:
    """Mean (N,) over the methods that have a value; NaN where none has."""
    return pd.DataFrame(of_methods).mean().to_numpy(np.float64)
