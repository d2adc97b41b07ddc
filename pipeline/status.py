"""``python -m pipeline.status [experiment=...] [key=value ...]``: a dry run."""

import sys
from dataclasses import dataclass
from enum import Enum

from rich.table import Table

from pipeline.claim_power import claim_table
from pipeline.config import compose_config
from pipeline.differences import KeyHistory
from pipeline.plan import plan_run
from pipeline.progress import say, seconds_text, show_table
from pipeline.provenance import code_digest
from pipeline.step import Step
from pipeline.store import Artifact, BrokenArtifactError, Store


class State(Enum):
    """What a run would find. Only a hit of either kind is not run."""

    hit = "hit"
    stale_code = "stale code"
    miss = "miss"
    broken = "broken"


@dataclass(frozen=True)
class Status:
    """What is in the store for one step, and why the step would run."""

    step: Step
    state: State
    artifact: Artifact | None = None
    why: str = ""


def run_status(order: list[Step], store: Store) -> list[Status]:
    """The state of every step of a plan, as a run would find it now. Changes nothing."""
    found: dict[str, Artifact | None] = {}
    broken: dict[str, str] = {}
    for step in order:
        try:
            found[step.key] = store.find(step.name, step.key)
        except BrokenArtifactError as error:
            found[step.key] = None
            broken[step.key] = str(error)
    running = [key for key, artifact in found.items() if artifact is None]
    # A manifest may hold 200,000 names: others are read only where there is something to explain.
    others = store.artifacts() if running else []
    history = KeyHistory(order, (artifact.manifest for artifact in others))
    begun = {path.stem for path in store.workspaces()}
    result = []
    for step in order:
        artifact = found[step.key]
        if step.key in broken:
            status = Status(step, State.broken, why=broken[step.key])
        elif artifact is None:
            why = history.why(step, running)
            if store.folder(step.name, step.key).name in begun:
                why += "; a run began it, this one goes on"
            status = Status(step, State.miss, why=why)
        elif artifact.manifest["code"] != code_digest(step.code):
            why = "not run: bump the step's version if other code gives another result"
            status = Status(step, State.stale_code, artifact, why)
        else:
            status = Status(step, State.hit, artifact)
        result.append(status)
    return result


def status_table(statuses: list[Status]) -> Table:
    """Step, key, state, size, seconds when it was made, and why it would run."""
    table = Table()
    for title in ("step", "key", "state"):
        table.add_column(title, no_wrap=True)
    for title in ("MiB", "took"):
        table.add_column(title, no_wrap=True, justify="right")
    table.add_column("why", overflow="fold")
    for status in statuses:
        size = took = ""
        if status.artifact is not None:
            size = f"{status.artifact.manifest['bytes'] / 2**20:.1f}"
            took = seconds_text(status.artifact.manifest["seconds"])
        step = status.step
        table.add_row(step.title, step.key[:12], status.state.value, size, took, status.why)
    return table


def main(overrides: list[str]) -> int:
    try:
        config = compose_config(overrides)
        store = Store(config.paths.store)
        plan = plan_run(config, store.digests)
        statuses = run_status(plan.order, store)
        claims = claim_table(plan.tasks, config.evaluation, store)
    except (ValueError, OSError) as error:
        say(f"error: {error}")
        return 1
    show_table(status_table(statuses))
    show_table(claims)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
