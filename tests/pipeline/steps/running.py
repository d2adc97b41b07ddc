"""A step run by itself, on inputs that are folders."""

from pathlib import Path

import pandas as pd

from pipeline.executors.base import SerialExecutor
from pipeline.executors.config import ExecutorConfig
from pipeline.step import Machine, Step, UserFiles, Work


def run_step(step: Step, folder: Path) -> list[str]:
    """Runs ``step``, whose inputs are all ``UserFiles``, into ``folder``; what it noted."""
    folder.mkdir(parents=True, exist_ok=True)
    folders = {
        source.key: source.path for source in step.inputs.values() if isinstance(source, UserFiles)
    }
    notes: list[str] = []
    machine = Machine(outputs=folder.parent, device="cpu")
    executor = SerialExecutor(ExecutorConfig(retries=0))
    step.run(Work(folders, machine, folder, lambda done, total: None, notes.append, executor))
    return notes


def given(folder: Path, key: str = "") -> UserFiles:
    """A folder in the place of a step that would have written it."""
    return UserFiles(folder, key or folder.name)


def lay_out_samples(folder: Path, **columns: object) -> UserFiles:
    """Samples of these columns, each of a patient of its own, as a finished step leaves them."""
    folder.mkdir()
    samples = pd.DataFrame(columns)
    samples.insert(0, "sample", range(len(samples)))
    samples.assign(patient=range(len(samples))).to_csv(folder / "samples.csv", index=False)
    return given(folder)
