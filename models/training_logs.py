"""Where the rows of a training's history go while it runs, beside the history itself."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

from models.config import LoggerName

LogRow = Callable[[Mapping[str, float]], None]
"""Takes a row of the history."""


def training_logger(
    name: LoggerName, outputs: Path, title: str
) -> AbstractContextManager[LogRow] | None:
    """A logger into a folder of ``outputs``; None for csv: a history is a csv anyway.

    tensorboard: ``outputs/tensorboard/<title>/version_<n>``. mlflow: a run named ``title`` at
    MLFLOW_TRACKING_URI, or in ``outputs/mlruns``. A training that goes on after a stop is a new
    version, or run, that holds the epochs before it too.
    """
    if name is LoggerName.tensorboard:
        return _tensorboard(outputs / "tensorboard" / title)
    if name is LoggerName.mlflow:
        return _mlflow(outputs / "mlruns", title)
    return None


@contextmanager
def _tensorboard(folder: Path) -> Iterator[LogRow]:
    from torch.utils.tensorboard import SummaryWriter

    versions = (folder / f"version_{number}" for number in count())
    with SummaryWriter(next(each for each in versions if not each.exists())) as writer:

        def log_row(row: Mapping[str, float]) -> None:
            for name, value in _values(row).items():
                writer.add_scalar(name, value, int(row["epoch"]))
            writer.flush()

        yield log_row


@contextmanager
def _mlflow(folder: Path, title: str) -> Iterator[LogRow]:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # it reports to its makers otherwise
    # Its files are in maintenance mode, and its databases need the full mlflow.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or folder.absolute().as_uri())
    mlflow.set_experiment("training")
    with mlflow.start_run(run_name=title):
        yield lambda row: mlflow.log_metrics(_values(row), step=int(row["epoch"]))


def _values(row: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "epoch"}
