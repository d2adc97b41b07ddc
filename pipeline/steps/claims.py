"""Claims: a verdict on each claim of the paper."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from evaluation.config import ClaimsConfig
from pipeline.step import Source, Step, Work
from pipeline.steps.rows import read_rows


@dataclass(frozen=True)
class Claims(Step):
    """Verdicts and the comparisons behind them, of the rows in ``tables``.

    ``datasets``: task -> the films that it was measured on, whose patients are the same in every
    task; ``zones``: the place of Table 2 that is judged, None without scored films.
    """

    version: ClassVar = 5
    code: ClassVar = (
        "evaluation/claims.py",
        "evaluation/claim_simulation.py",
        "evaluation/verdicts.py",
        "evaluation/paired_tests.py",
    )
    tables: Source
    datasets: Mapping[str, str]
    zones: str | None
    config: ClaimsConfig
    seed: int

    def run(self, work: Work) -> None:
        from evaluation.claim_simulation import power_table
        from evaluation.paper_tables import write_csv
        from evaluation.verdicts import details, judge

        rows = judged_rows(read_rows(work[self.tables]), self.datasets, self.zones)
        write_csv(judge(rows, self.config), work.folder / "claims.csv")
        write_csv(details(rows, self.config), work.folder / "claims_details.csv")
        power = power_table(rows, self.config, self.seed)
        write_csv(power, work.folder / "claims_power.csv")


def judged_rows(rows: pd.DataFrame, datasets: Mapping[str, str], zones: str | None) -> pd.DataFrame:
    """Rows of ``read_rows`` as ``evaluation.verdicts`` compares them.

    A patient has the name of his data set too; ``severity`` is a regression sample's target; a
    film whose score does not fall has no area of insertion and deletion; Table 2 is at ``zones``.
    """
    rows = rows[(rows["table"] != "table2") | (rows["place"] == zones)]
    table, metric = rows["table"], rows["metric"]
    patients = rows["task"].map(dict(datasets)) + " " + rows["patient"].astype(str)
    named = ["task", "place", "sample", "method"]
    relative = rows[(table == "fig2") & (metric == "deletion_relative") & rows["value"].isna()]
    unfallen = pd.MultiIndex.from_frame(relative[named])
    areas = (table == "fig2") & metric.isin(["insertion_auc", "deletion_auc"])
    unknown = areas & pd.MultiIndex.from_frame(rows[named]).isin(unfallen)
    targets = rows[(table == "pcc") & (metric == "severity")].drop_duplicates("sample")
    severity = rows["sample"].map(targets.set_index("sample")["value"])
    return rows.assign(
        patient=patients,
        value=rows["value"].mask(unknown),
        severity=severity.where(rows["task"] == "severity"),
        finding=rows["finding"].fillna(rows["task"]),
    )
