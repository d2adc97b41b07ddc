"""Walks the stages of a run: finds or makes each artifact, and writes the run folder."""

import logging
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pipeline.config import PipelineConfig, section
from pipeline.graph import RawFolder, Stage, Task
from pipeline.progress import Stopwatch, log, say, seconds_text, stage_progress
from pipeline.provenance import code_digest, provenance
from pipeline.store import Artifact, BrokenArtifactError, Store, write_json


@dataclass(frozen=True)
class Outcome:
    """What became of one stage in this run."""

    stage: Stage
    artifact: Artifact
    hit: bool
    seconds: float


class StageFailedError(RuntimeError):
    """A stage could not do its work; the cause is chained."""


def obtain(stage: Stage, store: Store, config: PipelineConfig) -> Outcome:
    """The stage's artifact: from the store, or made now under its lock.

    Raises
    ------
    StageFailedError
        Where the stage's function raised; what it finished stays in its workspace.
    """
    watch = Stopwatch()
    artifact = _find_sound(stage, store)
    if artifact is None:
        with store.lock(stage.name, stage.key) as waited:
            artifact = _find_sound(stage, store, discard=True)
            if artifact is None:
                made = _make(stage, store, config)
                return Outcome(stage, made, hit=False, seconds=watch.seconds)
            if waited:
                say(f"{stage.title}: made by another process meanwhile")
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


def _make(stage: Stage, store: Store, config: PipelineConfig) -> Artifact:
    watch = Stopwatch()
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        say(f"{stage.title}: {text}")

    log.info("%s: starts, key %s", stage.title, stage.key)
    workspace = store.workspace(stage.name, stage.key)
    with stage_progress(stage.title) as progress:
        task = Task(workspace, input_folders(stage, store), config, progress, note)
        try:
            stage.run(task)
        except Exception as error:
            raise StageFailedError(f"{stage.title}: {error}") from error
    artifact = store.publish(
        stage.name,
        stage.key,
        {
            "key_parts": stage.key_parts,
            "variant": stage.variant,
            "code": code_digest(stage.sources),
            "notes": notes,
            "seconds": round(watch.seconds, 3),
            "provenance": provenance(),
        },
    )
    say(f"{stage.title}: done in {seconds_text(watch.seconds)}")
    return artifact


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


def finish_run(config: PipelineConfig, folder: Path, outcomes: list[Outcome]) -> None:
    """Writes ``run.json`` and points ``outputs/latest`` at the run."""
    write_json(folder / "run.json", run_record(config, outcomes))
    latest = Path(config.paths.outputs) / "latest"
    temporary = latest.with_name(f".latest.{os.getpid()}")
    temporary.symlink_to(os.path.relpath(folder, latest.parent), target_is_directory=True)
    os.replace(temporary, latest)


def run_record(config: PipelineConfig, outcomes: list[Outcome]) -> dict[str, Any]:
    """The content of ``run.json``: configuration without paths, stage -> key, provenance."""
    settings = section(config)
    del settings["paths"]
    return {
        "config": settings,
        "stages": {
            outcome.stage.title: {
                "stage": outcome.stage.name,
                "key": outcome.stage.key,
                "hit": outcome.hit,
                "seconds": round(outcome.seconds, 3),
                "seconds_when_made": outcome.artifact.manifest["seconds"],
            }
            for outcome in outcomes
        },
        "provenance": provenance(),
    }
