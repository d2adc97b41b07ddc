"""Walks the steps of a run: finds or makes each artifact, and writes the run folder."""

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
from pipeline.progress import Stopwatch, log, progress_bar, say, seconds_text
from pipeline.provenance import code_digest, provenance, without_folders
from pipeline.step import Machine, Step, UserFiles, Work
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
    """A step's result in this run: found (``hit``) or made."""

    step: Step
    artifact: Artifact
    hit: bool
    seconds: float

    @property
    def stale_code(self) -> bool:
        """Whether the artifact was made by other code than this process has."""
        return bool(self.artifact.manifest["code"] != code_digest(self.step.code))


class StepFailedError(RuntimeError):
    """A step could not do its work; the cause is chained."""


def obtain_all(order: list[Step], store: Store, config: PipelineConfig) -> list[Outcome]:
    """Every step's artifact, in the order given, which holds each step after its inputs.

    A step that another process is making is left to it while others can be made: two processes
    that start the same run share its steps.

    Raises
    ------
    StepFailedError
        Where a step raised; what it finished stays in its workspace.
    """
    folder = store.root.absolute().parent / "slurm"
    imports = imports_of_workers(order)
    with open_executor(config.executor, config.threads, folder, imports) as executor:
        return _obtain_all(order, store, config, executor)


def imports_of_workers(order: list[Step]) -> list[str]:
    """Modules that workers need for the steps; a fork server imports them once for all."""
    return ["pipeline.steps.loaded_model"] if any("model" in step.inputs for step in order) else []


def _obtain_all(
    order: list[Step], store: Store, config: PipelineConfig, executor: Executor
) -> list[Outcome]:
    outcomes: dict[str, Outcome] = {}
    while len(outcomes) < len(order):
        ready = [
            step
            for step in order
            if step.key not in outcomes
            and all(
                source.key in outcomes
                for source in step.inputs.values()
                if isinstance(source, Step)
            )
        ]
        for step in ready:
            try:
                outcomes[step.key] = obtain(step, store, config, executor, wait=False)
                break
            except LockedError:
                continue
        else:
            say(f"{ready[0].title}: waits for the process that is making it")
            outcomes[ready[0].key] = obtain(ready[0], store, config, executor, wait=True)
    return [outcomes[step.key] for step in order]


def obtain(
    step: Step, store: Store, config: PipelineConfig, executor: Executor, wait: bool
) -> Outcome:
    """The step's artifact: from the store, or made now under its lock.

    Raises
    ------
    LockedError
        Where another process is making it, unless told to wait.
    StepFailedError
        Where the step raised; what it finished stays in its workspace.
    """
    watch = Stopwatch()
    artifact = _find_sound(step, store)
    if artifact is None:
        with store.lock(step.name, step.key, wait):
            store.finish_publishing(step.name, step.key)
            artifact = _find_sound(step, store, discard=True)
            if artifact is None:
                made = _make(step, store, config, executor)
                return Outcome(step, made, hit=False, seconds=watch.seconds)
    for note in artifact.manifest["notes"]:
        say(f"{step.title}: {note}")
    return Outcome(step, artifact, hit=True, seconds=watch.seconds)


def _find_sound(step: Step, store: Store, discard: bool = False) -> Artifact | None:
    try:
        return store.find(step.name, step.key)
    except BrokenArtifactError as error:
        if discard:
            say(f"{step.title}: {error}; it is made again")
            store.discard(step.name, step.key)
        return None


def _make(step: Step, store: Store, config: PipelineConfig, executor: Executor) -> Artifact:
    watch = Stopwatch()
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        say(f"{step.title}: {text}")

    log.info("%s: starts, key %s", step.title, step.key)
    try:
        workspace = store.workspace(step.name, step.key)
        begun_by = _code_of_begin(workspace, step)
        if begun_by != code_digest(step.code):
            note("begun by other code and resumed; where that matters, delete it and run anew")
        with progress_bar(step.title) as progress:
            work = Work(
                folders=input_folders(step, store),
                machine=machine_of(config),
                folder=workspace,
                progress=progress,
                note=note,
                executor=executor,
            )
            step.run(work)
        artifact = store.publish(
            step.name,
            step.key,
            {
                "key_parts": step.key_parts,
                "label": step.label,
                "code": begun_by,
                "notes": notes,
                "seconds": round(watch.seconds, 3),
                "provenance": provenance(),
            },
        )
    except Exception as error:
        reason = disk_trouble(error, store.root) or error
        raise StepFailedError(f"{step.title}: {reason}") from error
    say(f"{step.title}: done in {seconds_text(watch.seconds)}")
    return artifact


def _code_of_begin(workspace: Path, step: Step) -> str:
    """Digest of the code that began the workspace: a resumed run may have other code."""
    begun = workspace / RESUME / "code.json"
    if not begun.exists():
        begun.parent.mkdir(exist_ok=True)
        write_json(begun, code_digest(step.code))
    return str(json.loads(begun.read_text(encoding="utf-8")))


def input_folders(step: Step, store: Store) -> dict[str, Path]:
    """Where each input of a step lies, by its key."""
    return {
        source.key: source.path
        if isinstance(source, UserFiles)
        else store.folder(source.name, source.key)
        for source in step.inputs.values()
    }


def machine_of(config: PipelineConfig) -> Machine:
    return Machine(Path(config.paths.outputs), config.executor.device, config.logger)


def start_run(config: PipelineConfig, folder: Path) -> None:
    """Makes the run folder with its log and resolved configuration."""
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


def record_plan(order: list[Step], folder: Path) -> None:
    """Writes ``plan.json``, by which an unfinished run keeps its artifacts from being pruned."""
    steps = {step.title: {"step": step.name, "key": step.key} for step in order}
    write_json(folder / PLAN, {"steps": steps})


def finish_run(config: PipelineConfig, folder: Path, outcomes: list[Outcome]) -> None:
    """Writes ``run.json``, which replaces the plan, and points ``outputs/latest`` at the run."""
    write_json(folder / RECORD, run_record(config, outcomes))
    (folder / PLAN).unlink()
    latest = Path(config.paths.outputs) / "latest"
    temporary = latest.with_name(f".latest.{os.getpid()}")
    temporary.symlink_to(os.path.relpath(folder, latest.parent), target_is_directory=True)
    os.replace(temporary, latest)


def run_record(config: PipelineConfig, outcomes: list[Outcome]) -> dict[str, Any]:
    """The content of ``run.json``: configuration without paths, step -> key, provenance."""
    settings = section(config)
    del settings["paths"]
    return {
        "config": without_folders(settings),
        "steps": {
            outcome.step.title: {
                "step": outcome.step.name,
                "key": outcome.step.key,
                "hit": outcome.hit,
                "stale_code": outcome.stale_code,
                "seconds": round(outcome.seconds, 3),
                "seconds_when_made": outcome.artifact.manifest["seconds"],
            }
            for outcome in outcomes
        },
        "provenance": provenance(),
    }
