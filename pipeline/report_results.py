"""The results of a run's steps as its report reads them, and what they took."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from pipeline.store import Artifact


@dataclass(frozen=True)
class Made:
    """A step's result as a run found or made it."""

    key: str
    hit: bool
    artifact: Artifact

    @property
    def step(self) -> str:
        """The step's name: of all titles that begin with it."""
        return str(self.artifact.manifest["step"])


def figure_steps(made: Mapping[str, Made]) -> list[str]:
    return [title for title, each in made.items() if each.step in ("figures", "scored_figures")]


def seconds_by_step(made: Mapping[str, Made]) -> pd.DataFrame:
    """Columns step, results, seconds: of all results that steps of a name made, and their sum."""
    rows = pd.DataFrame(
        {
            "step": [each.step for each in made.values()],
            "seconds": [each.artifact.manifest["seconds"] for each in made.values()],
        }
    )
    table = rows.groupby("step")["seconds"].agg(["count", "sum"]).reset_index()
    table.columns = pd.Index(["step", "results", "seconds"])
    table = table.sort_values("seconds", ascending=False, kind="stable", ignore_index=True)
    total = {"step": "sum", **table.drop(columns="step").sum()}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    return table.astype({"results": int})
