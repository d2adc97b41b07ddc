"""Claims: a verdict on every claim of the paper that a run has measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from evaluation.config import BootstrapConfig, ClaimsConfig
from models.config import Loss
from pipeline.step import Source, Step, Work
from pipeline.steps.localization import ONE_SPREAD, read_curves
from pipeline.steps.rows import read_rows
from pipeline.steps.truth import CAUSAL

if TYPE_CHECKING:
    from evaluation.verdicts import Curves, Finding

Names = Mapping[str, tuple[str, str]]
"""Task -> what claims call its films and its model."""
_SCORED_MODELS = {"detectors": "detector", "severity": "severity"}


@dataclass(frozen=True)
class Claims(Step):
    """A verdict on each claim, of the rows in ``tables`` and each method's IoU curves.

    ``zone_localization``: on the films that ``scored_dataset`` names, if there are any.
    """

    version: ClassVar = 4
    code: ClassVar = (
        "evaluation/claims.py",
        "evaluation/verdicts.py",
        "evaluation/bootstrap.py",
    )
    tables: Source
    localization: Mapping[str, Source]
    zone_localization: Mapping[str, Source]
    claims: ClaimsConfig
    bootstrap: BootstrapConfig
    fold_seed: int
    seed: int
    dataset: str
    model: str
    scored_dataset: str | None

    def run(self, work: Work) -> None:
        from evaluation.paper_tables import write_csv
        from evaluation.verdicts import claims_table, compare_methods

        names = {"findings": (self.dataset, self.model)}
        if self.scored_dataset is not None:
            names |= {task: (self.scored_dataset, model) for task, model in _SCORED_MODELS.items()}
        observed = observations(read_rows(work[self.tables]), names, self._zones(work))
        curves = self._curves(work, observed)
        findings, left_out = compare_methods(
            observed, curves, self.fold_seed, self.claims, self.seed
        )
        findings += self._losses(work)
        write_csv(claims_table(findings, self.claims), work.folder / "claims.csv")
        write_csv(left_out, work.folder / "claims_left_out.csv")

    def _zones(self, work: Work) -> str:
        """The place that stands for the paper's zones, the first."""
        for source in self.zone_localization.values():
            return next(iter(read_curves(work[source])))
        return ""

    def _curves(self, work: Work, observed: pd.DataFrame) -> "Curves":
        """IoU curves of the same samples."""
        curves: dict[tuple[str, str, str], np.ndarray] = {}
        ious = observed[observed["metric"] == "iou"]
        keys = ["task", "place", "where", "model", "method"]
        for key, rows in ious.groupby(keys):
            task, place, where, model, method = map(str, key)
            steps = self.localization if task == "findings" else self.zone_localization
            stored = read_curves(work[steps[method]])[place]
            curves[where, model, method] = stored[rows["sample"].to_numpy()]
        return curves

    def _losses(self, work: Work) -> "list[Finding]":
        from evaluation.verdicts import compare_losses

        table3 = work[self.tables] / "table3_samples.csv"
        if not table3.exists():
            return []
        films = pd.read_csv(work[self.tables] / "classification_samples.csv")
        weighted, plain = (
            films[films["model"] == loss.value] for loss in (Loss.weighted_bce, Loss.bce)
        )
        scores = [str(name) for name in films if str(name).startswith("logit_")]
        return compare_losses(
            pd.read_csv(table3),
            weighted,
            plain,
            [name.removeprefix("logit_") for name in scores],
            self.dataset,
            self.claims,
            self.bootstrap,
            self.seed,
        )


def observations(rows: pd.DataFrame, names: Names, zones: str) -> pd.DataFrame:
    """Rows of ``verdicts.OBSERVED``, with severity, of what a claim may compare.

    ``rows``: of ``read_rows``. ``zones``: the place that stands for the paper's; there each
    detector is judged by itself, and elsewhere all of them together.
    """
    rows = rows.assign(
        where=rows["task"].map({task: where for task, (where, _) in names.items()}),
        model=rows["task"].map({task: model for task, (_, model) in names.items()}),
    )
    table, place = rows["table"], rows["place"]
    plain = rows[
        table.isin(["table1", "localization", "equal_area", "pcc", "zones"])
        | table.isin(["all_regions", "zone_drops"])
    ]
    causal = rows[(table == "truth") & place.isin([CAUSAL, ONE_SPREAD])]
    suffix = causal["place"].map({CAUSAL: "_causal", ONE_SPREAD: "_one_spread"})
    causal = causal.assign(metric=causal["metric"] + suffix)
    games = rows[table == "fig2"]
    games = games.assign(metric=games["metric"] + "_" + games["place"])
    pixels = rows[table.isin(["sensitivity_n", "fig3b"])]
    keys = ["task", "where", "model", "method", "sample", "patient"]
    means = pixels.groupby(keys, sort=False)["value"].mean().reset_index()
    means = means.assign(metric="sensitivity_n")
    single = rows[table.isin(["table2", "zone_localization"]) & (place == zones)]
    judged = single["finding"][single["metric"] == "iou"]  # the others have too few patients
    single = single[single["finding"].isin(judged)].sort_values("finding", kind="stable")
    single = single.assign(where=single["where"] + " " + single["finding"])

    observed = pd.concat([single, plain, causal, games, means], ignore_index=True)
    order = {task: number for number, task in enumerate(names)}
    observed = observed.sort_values("task", key=lambda tasks: tasks.map(order), kind="stable")
    told = plain[(plain["table"] == "pcc") & (plain["metric"] == "severity")]
    scores = told.drop_duplicates("sample").set_index("sample")["value"]
    severity = observed["sample"].map(scores).where(observed["task"] == "severity")
    return observed.assign(severity=severity)
