"""``python -m pipeline.status [experiment=...] [key=value ...]``: what a run would do, undone."""

import sys
from dataclasses import dataclass
from enum import Enum

from rich.console import Console
from rich.table import Table

from pipeline.config import ConfigError, compose_config
from pipeline.differences import KeyHistory
from pipeline.graph import Stage
from pipeline.plan import plan_run
from pipeline.progress import console, say, seconds_text
from pipeline.provenance import code_digest
from pipeline.run import store_folder
from pipeline.store import Artifact, BrokenArtifactError, Store

_WIDTH = 200  # columns where the output is no terminal


class State(Enum):
    """What a run would find. Only a hit of either kind is not run."""

    hit = "hit"
    stale_code = "stale code"
    miss = "miss"
    broken = "broken"


@dataclass(frozen=True)
class Status:
    """What is in the store for one stage, and why the stage would run."""

    stage: Stage
    state: State
    artifact: Artifact | None = None
    why: str = ""


def run_status(order: list[Stage], store: Store) -> list[Status]:
    """The state of every stage of a plan, as a run would find it now. Changes nothing."""
    found: dict[str, Artifact | None] = {}
    broken: dict[str, str] = {}
    for stage in order:
        try:
            found[stage.key] = store.find(stage.name, stage.key)
        except BrokenArtifactError as error:
            found[stage.key] = None
            broken[stage.key] = str(error)
    running = [key for key, artifact in found.items() if artifact is None]
    # A manifest may hold 200,000 names: others are read only where there is something to explain.
    others = store.artifacts() if running else []
    history = KeyHistory(order, (artifact.manifest for artifact in others))
    begun = {path.stem for path in store.workspaces()}
    result = []
    for stage in order:
        artifact = found[stage.key]
        if stage.key in broken:
            status = Status(stage, State.broken, why=broken[stage.key])
        elif artifact is None:
            why = history.why(stage, running)
            if store.folder(stage.name, stage.key).name in begun:
                why += "; a run began it, this one goes on"
            status = Status(stage, State.miss, why=why)
        elif artifact.manifest["code"] != code_digest(stage.sources):
            why = "not run: bump the stage's version if other code gives another result"
            status = Status(stage, State.stale_code, artifact, why)
        else:
            status = Status(stage, State.hit, artifact)
        result.append(status)
    return result


def status_table(statuses: list[Status]) -> Table:
    """Stage, key, state, size, seconds when it was made, and why it would run."""
    table = Table()
    for title in ("stage", "key", "state"):
        table.add_column(title, no_wrap=True)
    for title in ("MiB", "took"):
        table.add_column(title, no_wrap=True, justify="right")
    table.add_column("why", overflow="fold")
    for status in statuses:
        size = took = ""
        if status.artifact is not None:
            size = f"{status.artifact.manifest['bytes'] / 2**20:.1f}"
            took = seconds_text(status.artifact.manifest["seconds"])
        stage = status.stage
        table.add_row(stage.title, stage.key[:12], status.state.value, size, took, status.why)
    return table


def main(overrides: list[str]) -> int:
    try:
        config = compose_config(overrides)
        store = Store(store_folder(config))
        order = plan_run(config, store.digests).order
        statuses = run_status(order, store)
    except (ConfigError, ValueError, OSError) as error:
        say(f"error: {error}")
        return 1
    out = console if console.is_terminal else Console(width=_WIDTH)
    out.print(status_table(statuses))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
