"""Training of a tiny network on ten films: what is learnt, kept, resumed and refused."""

import dataclasses
import logging
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import TensorDataset

from models.config import Optimizer, Schedule, TrainConfig
from models.densenet import normalise
from models.losses import BinaryCrossEntropy
from models.prediction import predict
from models.training import TrainingError, TrainResult, train

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
Trained = tuple[nn.Module, TrainResult]
TrainedIn = tuple[nn.Module, TrainResult, Path]
PUBLISHED = TrainConfig(epochs=3, batch_size=4)
PHANTOM = TrainConfig(
    epochs=3,
    batch_size=4,
    optimizer=Optimizer.adamw,
    schedule=Schedule.one_cycle,
    horizontal_flip=True,
)


def films(count: int, seed: int) -> TensorDataset:
    """Noise with a bright left half (class 0), top half (class 1); class 2 has no positives."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((count, 3), np.float32)
    labels[:, 0] = np.arange(count) % 2
    labels[:, 1] = np.arange(count) // 2 % 2
    pixels = rng.integers(0, 100, (count, 32, 32))
    pixels[:, :, :16] += (100 * labels[:, 0]).astype(int)[:, None, None]
    pixels[:, :16] += (50 * labels[:, 1]).astype(int)[:, None, None]
    return TensorDataset(torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels))


class Tiny(nn.Sequential):
    """Has what a resumed training could get wrong: batch norm, and dropout that draws per step."""

    def __init__(self, seed: int = 0, dropout: float = 0.3) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            super().__init__(
                nn.Conv2d(3, 8, 5, stride=2),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(4),
                nn.Flatten(),
                nn.Dropout(dropout),
                nn.Linear(128, 3),
            )


TRAIN, VAL = films(10, seed=0), films(6, seed=1)


class Stop(Exception):
    pass


class StopIn:
    """Raises in the given batch of the given epoch."""

    def __init__(self, epoch: int, batch: int, error: type[BaseException] = Stop) -> None:
        self.at = (epoch, batch)
        self.error = error

    def __call__(self, epoch: int, _n: int, batch: int, _m: int, _l: Mapping[str, float]) -> None:
        if (epoch, batch) == self.at:
            raise self.error


def run(
    folder: Path,
    config: TrainConfig = PUBLISHED,
    model: nn.Module | None = None,
    **others: object,
) -> Trained:
    model = model if model is not None else Tiny()
    arguments = {"train_data": TRAIN, "val_data": VAL, "seed": 3, "device": CPU, **others}
    return model, train(model, config=config, folder=folder, **arguments)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def assert_same(first: Trained, second: Trained) -> None:
    pd.testing.assert_frame_equal(
        first[1].history.drop(columns="seconds"),
        second[1].history.drop(columns="seconds"),
        check_exact=True,
    )
    assert first[1].best_epoch == second[1].best_epoch
    other = weights(second[0])
    for key, value in weights(first[0]).items():
        assert torch.equal(value, other[key]), key


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainedIn:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("uninterrupted")
    result = run(folder, PHANTOM)
    torch.set_num_threads(threads)
    return *result, folder


def test_history_and_weights_are_those_of_the_best_epoch(uninterrupted):
    model, result, folder = uninterrupted
    history = result.history
    assert list(history) == ["epoch", "train_loss", "val_loss", "val_auc", "seconds"]
    assert history["epoch"].tolist() == [1, 2, 3]
    assert result.best_epoch == history.loc[history["val_loss"].idxmin(), "epoch"]
    films, labels = VAL.tensors
    logits = torch.from_numpy(predict(model, films.split(4), CPU)).double()
    loss = binary_cross_entropy_with_logits(logits, labels.double()).item()
    # Trained in another memory layout than it is used in: equal up to rounding.
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-6)
    best = load_file(folder / "best.safetensors")
    assert all(torch.equal(value, best[key]) for key, value in model.state_dict().items())
    assert sorted(p.name for p in folder.iterdir()) == ["best.safetensors", "last.ckpt"]


@pytest.mark.parametrize(
    "stop",
    [StopIn(1, 2), StopIn(2, 1), StopIn(2, 2, SystemExit), StopIn(3, 2, KeyboardInterrupt)],
    ids=[
        "in the first epoch",
        "at the second's start",
        "in the second by a signal's handler",
        "in the last by an interrupt",
    ],
)
def test_a_stopped_training_resumes_to_the_same_bits(uninterrupted, tmp_path, stop):
    with pytest.raises(stop.error):
        run(tmp_path, PHANTOM, on_progress=stop)
    seen: list[int] = []
    resumed = run(tmp_path, PHANTOM, on_progress=lambda epoch, *_: seen.append(epoch))
    assert min(seen) == stop.at[0]
    assert_same(resumed, uninterrupted[:2])


def test_loading_by_workers_changes_nothing_even_when_resumed(uninterrupted, tmp_path):
    workers = dataclasses.replace(PHANTOM, num_workers=2)
    with pytest.raises(Stop):
        run(tmp_path, workers, on_progress=StopIn(2, 2))
    assert_same(run(tmp_path, workers), uninterrupted[:2])


def test_a_finished_training_is_not_run_again(uninterrupted):
    again = run(uninterrupted[2], PHANTOM, on_progress=StopIn(1, 1))
    assert_same(again, uninterrupted[:2])
    assert again[1].history["seconds"].tolist() == uninterrupted[1].history["seconds"].tolist()


@pytest.mark.parametrize("damaged", ["last.ckpt", "best.safetensors", "of older code"])
def test_a_damaged_file_costs_a_stated_restart_and_nothing_else(
    uninterrupted, tmp_path, damaged, caplog
):
    with pytest.raises(Stop):
        run(tmp_path, PHANTOM, on_progress=StopIn(2, 1))
    if damaged == "of older code":
        torch.save({"state_dict": Tiny().state_dict(), "global_step": 4}, tmp_path / "last.ckpt")
    else:
        content = (tmp_path / damaged).read_bytes()
        (tmp_path / damaged).write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        restarted = run(tmp_path, PHANTOM)
    assert "last.ckpt" in caplog.text
    assert "restarts from its first epoch" in caplog.text
    assert_same(restarted, uninterrupted[:2])


def test_a_kill_while_the_checkpoint_is_written_leaves_the_one_before(
    uninterrupted, tmp_path, monkeypatch
):
    with pytest.raises(Stop):
        run(tmp_path, PHANTOM, on_progress=StopIn(2, 1))
    before = (tmp_path / "last.ckpt").read_bytes()

    def half_written(_state: object, file: BinaryIO) -> None:
        file.write(before[:1000])
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr("torch.save", half_written)
        with pytest.raises(Stop):
            run(tmp_path, PHANTOM)
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert_same(run(tmp_path, PHANTOM), uninterrupted[:2])


def test_a_folder_of_another_training_is_refused_naming_the_difference(uninterrupted):
    folder = uninterrupted[2]
    other = dataclasses.replace(PHANTOM, learning_rate=1e-4)
    with pytest.raises(TrainingError, match=r"another training \(other learning_rate, seed\)"):
        run(folder, other, seed=4)
    with pytest.raises(
        TrainingError, match=r"other accumulate\): go on with its settings, or delete"
    ):
        run(folder, dataclasses.replace(PHANTOM, accumulate=2))
    with pytest.raises(TrainingError, match="other initial weights"):
        run(folder, PHANTOM, model=Tiny(seed=9))
    with pytest.raises(TrainingError, match="other loss weights"):
        run(folder, PHANTOM, loss=BinaryCrossEntropy(torch.ones(3)))


def test_the_published_recipe_is_plain_sgd_on_seeded_batches(tmp_path):
    """One epoch against a loop written out with torch alone, batches taken from the loop's own."""
    config = dataclasses.replace(PUBLISHED, epochs=1)
    weight = torch.tensor([3.0, 0.5, 20.0])
    seen: list[Tensor] = []

    class Recorded(Tiny):
        def forward(self, images: Tensor) -> Tensor:
            if self.training:
                seen.append(images.clone())
            return super().forward(images)

    model = Recorded(dropout=0.0)
    run(tmp_path, config, model=model, loss=BinaryCrossEntropy(weight))

    own = Tiny(dropout=0.0)
    velocity = {name: torch.zeros_like(p) for name, p in own.named_parameters()}
    normalised, labels = normalise(TRAIN.tensors[0]), TRAIN.tensors[1]
    used: list[int] = []
    for images in seen:
        films = [int((normalised == image).all(dim=(1, 2, 3)).nonzero()) for image in images]
        used += films
        y, logits = labels[films], own(images)
        log_p, log_q = (torch.nn.functional.logsigmoid(sign * logits) for sign in (1, -1))
        own.zero_grad()
        (-(weight * y * log_p + (1 - y) * log_q)).mean().backward()
        with torch.no_grad():
            for name, p in own.named_parameters():
                velocity[name] = 0.9 * velocity[name] + p.grad + 1e-4 * p
                p -= 1e-3 * velocity[name]
    assert len(seen) == 2
    assert len(set(used)) == 8  # no film twice; two sit out
    for name, p in own.named_parameters():
        torch.testing.assert_close(dict(model.named_parameters())[name], p, rtol=1e-4, atol=1e-6)


def test_it_learns_what_is_plain_to_see(tmp_path):
    config = dataclasses.replace(
        PHANTOM, epochs=15, batch_size=8, learning_rate=1e-2, horizontal_flip=False
    )
    _, result = run(tmp_path, config, train_data=films(32, seed=2))
    assert result.history["val_loss"].iloc[-1] < 0.6 * result.history["val_loss"].iloc[0]
    assert result.history["val_auc"].max() > 0.9


def test_the_callers_state_is_left_alone(tmp_path, capfd, recwarn):
    model = Tiny().eval()
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    deterministic = torch.are_deterministic_algorithms_enabled()
    run(tmp_path, dataclasses.replace(PUBLISHED, epochs=1), model=model)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert random.getstate() == states[2]
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert not model.training
    assert not any(module.training for module in model.modules())
    assert capfd.readouterr() == ("", "")
    assert [str(w.message) for w in recwarn] == []


def test_progress_counts_every_batch_of_every_epoch(tmp_path):
    calls: list[tuple[int, int, int, int]] = []
    losses: list[dict[str, float]] = []

    def keep(*counts: object) -> None:
        calls.append(counts[:4])  # type: ignore[arg-type]
        losses.append(dict(counts[4]))  # type: ignore[call-overload]

    _, result = run(tmp_path, dataclasses.replace(PUBLISHED, epochs=2), on_progress=keep)
    assert calls == [(epoch, 2, batch, 2) for epoch in (1, 2) for batch in (1, 2)]
    assert losses[1] == {"train_loss": result.history["train_loss"][0]}
    assert losses[3] == {
        "train_loss": result.history["train_loss"][1],
        "val_loss": result.history["val_loss"][0],
    }


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"val_data": films(0, 0)}, "validation fold is empty.*validation fraction"),
        ({"train_data": films(1, 0)}, "train fold has 1 films, at least 2"),
        ({"config": dataclasses.replace(PUBLISHED, epochs=0)}, "train.epochs is 0"),
        ({"config": dataclasses.replace(PUBLISHED, batch_size=1)}, "train.batch_size is 1"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(tmp_path, others, message):
    with pytest.raises(TrainingError, match=message):
        run(tmp_path, **others)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_diverging_training_stops_and_names_the_learning_rate(tmp_path):
    with pytest.raises(TrainingError, match=r"loss is (nan|inf).*lower train\.learning_rate"):
        run(tmp_path, dataclasses.replace(PUBLISHED, learning_rate=math.inf))
