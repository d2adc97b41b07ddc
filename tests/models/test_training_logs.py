"""What loggers are told of a training of a tiny network, and what they must not change."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from models.config import LoggerName, TrainConfig
from models.training import TrainResult, train
from models.training_logs import training_logger

TITLE = "train-bce-0123"
COLUMNS = ("train_loss", "val_loss", "val_auc")
Read = Callable[[Path], list[pd.DataFrame]]


def films(count: int, seed: int) -> TensorDataset:
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 8, 8), dtype=torch.uint8, generator=random)
    return TensorDataset(pixels, (torch.arange(count) % 2).float()[:, None])


def trained(folder: Path, name: LoggerName, stop_in: int = 0) -> tuple[nn.Module, TrainResult]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)
    )

    def stop(epoch: int, _n: int, _done: int, _batches: int, _losses: Mapping[str, float]) -> None:
        if epoch == stop_in:
            raise InterruptedError

    result = train(
        model,
        films(8, seed=0),
        films(4, seed=1),
        TrainConfig(epochs=3, batch_size=4),
        seed=0,
        folder=folder / "training",
        device=torch.device("cpu"),
        on_progress=stop,
        logger=training_logger(name, folder, TITLE),
    )
    return model, result


def tensorboard_histories(folder: Path) -> list[pd.DataFrame]:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="make setup EXTRAS=loggers installs tensorboard",
    )
    histories = []
    for version in sorted((folder / "tensorboard" / TITLE).iterdir()):
        events = event_accumulator.EventAccumulator(str(version)).Reload()
        columns = {
            column: pd.Series({event.step: event.value for event in events.Scalars(column)})
            for column in COLUMNS
        }
        histories.append(pd.DataFrame(columns))
    return histories


def mlflow_histories(folder: Path) -> list[pd.DataFrame]:
    tracking = pytest.importorskip(
        "mlflow.tracking", reason="make setup EXTRAS=loggers installs mlflow"
    )
    client = tracking.MlflowClient(f"file:{folder / 'mlruns'}")
    experiment = client.get_experiment_by_name("training")
    runs = sorted(
        client.search_runs([experiment.experiment_id]), key=lambda run: run.info.start_time
    )
    assert {run.info.run_name for run in runs} == {TITLE}
    return [
        pd.DataFrame(
            {
                column: pd.Series(
                    {m.step: m.value for m in client.get_metric_history(run.info.run_id, column)}
                )
                for column in COLUMNS
            }
        )
        for run in runs
    ]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (LoggerName.tensorboard, tensorboard_histories),
        (LoggerName.mlflow, mlflow_histories),
    ],
)
def test_a_logger_gets_the_history_also_of_a_resumed_training_and_changes_no_weight(
    tmp_path, monkeypatch, name, read
):
    pytest.importorskip(name.value, reason="make setup EXTRAS=loggers installs it")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    silent, expected = trained(tmp_path / "silent", LoggerName.csv)
    with pytest.raises(InterruptedError):
        trained(tmp_path, name, stop_in=2)
    model, result = trained(tmp_path, name)

    columns = list(COLUMNS)
    pd.testing.assert_frame_equal(result.history[columns], expected.history[columns])
    for own, other in zip(model.parameters(), silent.parameters(), strict=True):
        assert torch.equal(own, other)
    history = result.history.set_index("epoch")[columns]
    stopped, resumed = read(tmp_path)
    settings = {"check_names": False, "check_dtype": False, "check_index_type": False}
    pd.testing.assert_frame_equal(stopped, history.iloc[:1], **settings)
    pd.testing.assert_frame_equal(resumed, history, **settings)


def test_csv_needs_no_logger(tmp_path):
    assert training_logger(LoggerName.csv, tmp_path, TITLE) is None
    trained(tmp_path, LoggerName.csv)
    assert [path.name for path in tmp_path.iterdir()] == ["training"]
