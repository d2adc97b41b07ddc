"""Where the rows of a training's history go while it runs, beside the history itself."""

import os
from pathlib import Path

from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger

from models.config import LoggerName


def training_logger(name: LoggerName, outputs: Path, title: str) -> Logger | None:
    """Lightning's logger into a folder of ``outputs``; None for csv: a history is a csv anyway.

    tensorboard: ``outputs/tensorboard/<title>/version_<n>``. mlflow: a run named ``title`` at
    MLFLOW_TRACKING_URI, or in ``outputs/mlruns``. A training that goes on after a stop is a new
    version, or run, that holds the epochs before it too.
    """
    if name is LoggerName.tensorboard:
        return TensorBoardLogger(outputs / "tensorboard", title)
    if name is LoggerName.mlflow:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # it reports to its makers otherwise
        # Its files are in maintenance mode, and its databases need the full mlflow.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        return MLFlowLogger("training", title, save_dir=str(outputs / "mlruns"))
    return None
