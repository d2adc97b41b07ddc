"""Walks the stages of a run: finds or makes each artifact, and writes the run folder."""

import json
import logging
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pipeline.config import PipelineConfig, section
from pipeline.disk import disk_trouble
from pipeline.executors.base import Executor
from pipeline.executors.opening import open_executor
from pipeline.graph import RawFolder, Stage, Task
from pipeline.progress import Stopwatch, log, say, seconds_text, stage_progress
from pipeline.provenance import code_digest, provenance, without_folders
from pipeline.store import (
    RESUME,
    Artifact,
    BrokenArtifactError,
    LockedError,
    Store,
    write_json,
)

RECORD = "run.json"
PLAN = "plan.json"


@dataclass(frozen=True)
class Outcome:
    """What became of one stage in this run."""

    stage: Stage
    artifact: Artifact
    hit: bool
    seconds: float

    @property
    def stale_code(self) -> bool:
        """Whether the artifact was made by other code than this process has."""
        return bool(self.artifact.manifest["code"] != code_digest(self.stage.sources))


class StageFailedError(RuntimeError):
    """A stage could not do its work; the cause is chained."""


def obtain_all(order: list[Stage], store: Store, config: PipelineConfig) -> list[Outcome]:
    """Every stage's artifact, in the order given, which holds each stage after its inputs.

    A stage that another process is making is left to it while others can be made: two processes
    that start the same run share its stages.

    Raises
    ------
    StageFailedError
        Where a stage's function raised; what it finished stays in its workspace.
    """
    folder = store.root.absolute().parent / "slurm"
    imports = imports_of_workers(order)
    with open_executor(config.executor, config.threads, folder, imports) as executor:
        return _obtain_all(order, store, config, executor)


def imports_of_workers(order: list[Stage]) -> list[str]:
    """Modules that workers will need for the stages, imported once for all where that can be."""
    return ["pipeline.loaded_model"] if any("train" in stage.inputs for stage in order) else []


def _obtain_all(
    order: list[Stage], store: Store, config: PipelineConfig, executor: Executor
) -> list[Outcome]:
    outcomes: dict[str, Outcome] = {}
    while len(outcomes) < len(order):
        ready = [
            stage
            for stage in order
            if stage.key not in outcomes
            and all(
                source.key in outcomes
                for source in stage.inputs.values()
                if isinstance(source, Stage)
            )
        ]
        for stage in ready:
            try:
                outcomes[stage.key] = obtain(stage, store, config, executor, wait=False)
                break
            except LockedError:
                continue
        else:
            say(f"{ready[0].title}: waits for the process that is making it")
            outcomes[ready[0].key] = obtain(ready[0], store, config, executor, wait=True)
    return [outcomes[stage.key] for stage in order]


def obtain(
    stage: Stage, store: Store, config: PipelineConfig, executor: Executor, wait: bool
) -> Outcome:
    """The stage's artifact: from the store, or made now under its lock.

    Raises
    ------
    LockedError
        Where another process is making it, unless told to wait.
    StageFailedError
        Where the stage's function raised; what it finished stays in its workspace.
    """
    watch = Stopwatch()
    artifact = _find_sound(stage, store)
    if artifact is None:
        with store.lock(stage.name, stage.key, wait):
            store.finish_publishing(stage.name, stage.key)
            artifact = _find_sound(stage, store, discard=True)
            if artifact is None:
                made = _make(stage, store, config, executor)
                return Outcome(stage, made, hit=False, seconds=watch.seconds)
    for note in artifact.manifest["notes"]:
        say(f"{stage.title}: {note}")
    return Outcome(stage, artifact, hit=True, seconds=watch.seconds)


def _find_sound(stage: Stage, store: Store, discard: bool = False) -> Artifact | None:
    try:
        return store.find(stage.name, stage.key)
    except BrokenArtifactError as error:
        if discard:
            say(f"{stage.title}: {error}; it is made again")
            store.discard(stage.name, stage.key)
        return None


def _make(stage: Stage, store: Store, config: PipelineConfig, executor: Executor) -> Artifact:
    watch = Stopwatch()
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        say(f"{stage.title}: {text}")

    log.info("%s: starts, key %s", stage.title, stage.key)
    try:
        workspace = store.workspace(stage.name, stage.key)
        begun_by = _code_of_begin(workspace, stage)
        if begun_by != code_digest(stage.sources):
            note("begun by other code and gone on with; where that matters, delete it and run anew")
        with stage_progress(stage.title) as progress:
            task = Task(
                inputs=input_folders(stage, store),
                config=config,
                folder=workspace,
                progress=progress,
                note=note,
                executor=executor,
            )
            stage.run(task)
        artifact = store.publish(
            stage.name,
            stage.key,
            {
                "key_parts": stage.key_parts,
                "variant": stage.variant,
                "code": begun_by,
                "notes": notes,
                "seconds": round(watch.seconds, 3),
                "provenance": provenance(),
            },
        )
    except Exception as error:
        reason = disk_trouble(error, store.root) or error
        raise StageFailedError(f"{stage.title}: {reason}") from error
    say(f"{stage.title}: done in {seconds_text(watch.seconds)}")
    return artifact


def _code_of_begin(workspace: Path, stage: Stage) -> str:
    """Digest of the code that began the workspace, which a resumed run may no longer have."""
    begun = workspace / RESUME / "code.json"
    if not begun.exists():
        begun.parent.mkdir(exist_ok=True)
        write_json(begun, code_digest(stage.sources))
    return str(json.loads(begun.read_text(encoding="utf-8")))


def input_folders(stage: Stage, store: Store) -> dict[str, Path]:
    """Where each input of a stage lies."""
    return {
        role: source.folder
        if isinstance(source, RawFolder)
        else store.folder(source.name, source.key)
        for role, source in stage.inputs.items()
    }


def start_run(config: PipelineConfig, folder: Path) -> None:
    """Makes the run folder, its log and its resolved configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / "pipeline.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for old in log.handlers[:]:
        log.removeHandler(old)  # a sweep makes several runs in one process
        old.close()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    OmegaConf.save(OmegaConf.create(section(config)), folder / "resolved.yaml")
    say(
        f"{config.name}, seed {config.seed}, {config.threads} threads, Python "
        f"{platform.python_version()}; results go to {folder}"
    )


def record_plan(order: list[Stage], folder: Path) -> None:
    """Writes ``plan.json``, by which an unfinished run keeps its artifacts from being pruned."""
    stages = {stage.title: {"stage": stage.name, "key": stage.key} for stage in order}
    write_json(folder / PLAN, {"stages": stages})


def finish_run(config: PipelineConfig, folder: Path, outcomes: list[Outcome]) -> None:
    """Writes ``run.json``, which replaces the plan, and points ``outputs/latest`` at the run."""
    write_json(folder / RECORD, run_record(config, outcomes))
    (folder / PLAN).unlink()
    latest = Path(config.paths.outputs) / "latest"
    temporary = latest.with_name(f".latest.{os.getpid()}")
    temporary.symlink_to(os.path.relpath(folder, latest.parent), target_is_directory=True)
    os.replace(temporary, latest)


def run_record(config: PipelineConfig, outcomes: list[Outcome]) -> dict[str, Any]:
    """The content of ``run.json``: configuration without paths, stage -> key, provenance."""
    settings = section(config)
    del settings["paths"]
    return {
        "config": without_folders(settings),
        "stages": {
            outcome.stage.title: {
                "stage": outcome.stage.name,
                "key": outcome.stage.key,
                "hit": outcome.hit,
                "stale_code": outcome.stale_code,
                "seconds": round(outcome.seconds, 3),
                "seconds_when_made": outcome.artifact.manifest["seconds"],
            }
            for outcome in outcomes
        },
        "provenance": provenance(),
    }
