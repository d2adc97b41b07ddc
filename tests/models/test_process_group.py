"""Training on two and three gloo processes of this machine, beside the same training in one."""

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from models.checkpoints import initial_model, load_weights
from models.config import (
    BatchNorm,
    PosWeight,
    Precision,
    TrainConfig,
)
from models.densenet import normalise
from models.epoch_order import films_in_order
from models.losses import BinaryCrossEntropy
from models.prediction import predict
from models.process_group import Rank
from models.training import TrainingError
from models.training_checkpoint import BEST
from tests.models.test_training import CPU, PHANTOM, Stop, StopIn, Tiny, films, run

pytestmark = pytest.mark.usefixtures("one_thread")

TRAIN, VAL = films(20, seed=0), films(7, seed=1)  # two films sit out; 7 is no multiple of 2 or 3
FROZEN = replace(PHANTOM, batch_size=6, batch_norm=BatchNorm.frozen)
LEARNT = replace(FROZEN, batch_norm=BatchNorm.learnt)
ONCE = TrainConfig(epochs=1, batch_size=20)
DENSENET = TrainConfig(epochs=1, batch_size=6, batch_norm=BatchNorm.frozen)
WEIGHTS = torch.tensor([3.0, 0.5, 20.0])
Trained = tuple[dict[str, torch.Tensor], pd.DataFrame]


def trained(folder: Path, config: TrainConfig, **others: Any) -> Trained:
    """Weights and history of a training of the toy, or of a DenseNet for its own settings.

    Where statistics are learnt, dropout draws as well.
    """
    dropout = 0.3 if config.batch_norm is BatchNorm.learnt else 0.0
    model = initial_model("random", 3, seed=0) if config is DENSENET else Tiny(dropout=dropout)
    _, result = run(
        folder,
        config,
        model=model,
        train_data=TRAIN,
        val_data=VAL,
        loss=BinaryCrossEntropy(WEIGHTS),
        **others,
    )
    return dict(model.state_dict()), result.history.drop(columns="seconds")


def _serve(number: int, of: int, folder: Path, what: str) -> None:
    torch.set_num_threads(1)
    for name, (config, stop) in CASES[what].items():
        here = folder / name
        for attempt in ("stopped", "whole")[stop is None :]:
            rank = Rank(number, of, here.with_suffix(f".{attempt}"))
            try:
                made = trained(
                    here, config, rank=rank, on_progress=stop if attempt == "stopped" else None
                )
            except Stop:
                torch.distributed.destroy_process_group()
                continue
            torch.save(made, folder / f"{name}.{number}")


CASES: dict[str, dict[str, tuple[TrainConfig, StopIn | None]]] = {
    "two": {
        "frozen": (FROZEN, None),
        "accumulated": (replace(FROZEN, batch_size=12, accumulate=3), None),
        "once": (ONCE, None),
        "densenet": (DENSENET, None),
    },
    "three": {
        "whole": (LEARNT, None),
        "stopped": (LEARNT, StopIn(3, 1)),
        "frozen": (FROZEN, None),
    },
}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what each process of each case has made: <of>/<case>.<number>."""
    folder = tmp_path_factory.mktemp("together")
    context = multiprocessing.get_context("forkserver")  # imports torch once for all
    context.set_forkserver_preload([__name__])
    processes = []
    for of, what in ((2, "two"), (3, "three")):
        (folder / what).mkdir()
        for number in range(of):
            arguments = (number, of, folder / what, what)
            processes.append(context.Process(target=_serve, args=arguments))
            processes[-1].start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return folder


def made(path: Path) -> Trained:
    return torch.load(path, weights_only=False)


def assert_close(one: Trained, other: Trained) -> None:
    """Measured: 1.5e-7 at most, in weights of up to 1.0 and losses of up to 1.4."""
    torch.testing.assert_close(one[0], other[0], rtol=0, atol=1e-6)
    pd.testing.assert_frame_equal(one[1], other[1], rtol=0, atol=1e-6)


def assert_equal(one: Trained, other: Trained) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=0, atol=0)
    pd.testing.assert_frame_equal(one[1], other[1], check_exact=True)


@pytest.mark.parametrize("case", ["two/frozen", "two/accumulated", "two/densenet", "three/frozen"])
def test_with_frozen_statistics_processes_learn_what_one_learns(together, tmp_path, case):
    what, name = case.split("/")
    config = CASES[what][name][0]
    alone = config if config is DENSENET else replace(config, accumulate=1)
    assert_close(made(together / f"{case}.0"), trained(tmp_path, alone))


@pytest.mark.parametrize("case", ["two/frozen", "two/once", "three/whole"])
def test_all_processes_end_with_the_same_weights_and_history(together, case):
    assert_equal(made(together / f"{case}.0"), made(together / f"{case}.1"))


def test_a_training_of_three_processes_resumes_to_the_same_bits(together):
    assert_equal(made(together / "three/stopped.0"), made(together / "three/whole.0"))


def test_learnt_statistics_are_of_each_process_and_their_mean_is_kept(together):
    """One step over all films, against the statistics written out."""
    first = Tiny()[0](normalise(TRAIN.tensors[0])).detach().transpose(0, 1)  # (8, films, H, W)
    means, variances = [], []
    for number in range(2):
        order = films_in_order(20, seed=3, epoch=0, step=20, part=10, rank=Rank(number, 2))
        part = first[:, order].flatten(1)
        means.append(part.mean(1))
        variances.append(part.var(1))
    kept, _ = made(together / "two/once.0")
    torch.testing.assert_close(kept["1.running_mean"], 0.1 * sum(means) / 2)
    torch.testing.assert_close(kept["1.running_var"], 0.9 + 0.1 * sum(variances) / 2)


@pytest.mark.parametrize(("of", "accumulate"), [(1, 1), (1, 3), (2, 1), (3, 2)])
def test_each_step_has_the_films_that_one_process_takes_for_it(of, accumulate):
    alone = films_in_order(40, seed=5, epoch=1, step=12, part=12)
    assert len(alone) == len(set(alone)) == 36
    share = 12 // of
    ranks = [Rank(number, of) for number in range(of)]
    parts = [films_in_order(40, 5, 1, 12, share // accumulate, rank) for rank in ranks]
    for step in range(3):
        taken = [film for part in parts for film in part[step * share : (step + 1) * share]]
        assert sorted(taken) == sorted(alone[step * 12 : (step + 1) * 12])


def test_every_film_is_validated_by_one_process():
    for num_films, of in ((7, 3), (8, 8), (20, 1)):
        shares = [list(Rank(number, of).share(num_films)) for number in range(of)]
        assert [film for share in shares for film in share] == list(range(num_films))
        assert all(shares)


def test_an_accumulated_step_is_the_step_of_the_whole_batch(tmp_path):
    parts = replace(FROZEN, accumulate=3)
    assert_close(trained(tmp_path / "parts", parts), trained(tmp_path / "whole", FROZEN))


def test_an_accumulated_training_resumes_to_the_same_bits(tmp_path):
    parts = replace(LEARNT, accumulate=3)
    whole = trained(tmp_path / "whole", parts)
    with pytest.raises(Stop):
        trained(tmp_path / "cut", parts, on_progress=StopIn(2, 4))
    assert_equal(trained(tmp_path / "cut", parts), whole)


def test_frozen_statistics_stay_and_scale_and_shift_learn(tmp_path):
    before, (after, _) = Tiny().state_dict(), trained(tmp_path, FROZEN)
    for name in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        assert torch.equal(after[name], before[name]), name
    for name in ("1.weight", "1.bias"):
        assert not torch.equal(after[name], before[name]), name


def test_bfloat16_steps_learn_nearly_the_same_and_are_judged_in_float32(tmp_path):
    mixed = replace(FROZEN, precision=Precision.bf16_mixed)
    weights, history = trained(tmp_path / "mixed", mixed)
    whole, _ = trained(tmp_path / "whole", FROZEN)
    assert all(weights[name].dtype == value.dtype for name, value in whole.items())
    difference = (weights["6.weight"] - whole["6.weight"]).abs().max()
    assert 1e-6 < difference < 1e-2
    model = Tiny()
    model.load_state_dict(load_weights(tmp_path / "mixed" / BEST))
    pixels, labels = VAL.tensors
    logits = torch.from_numpy(predict(model, pixels.split(6), CPU)).double()
    loss = BinaryCrossEntropy(WEIGHTS).double()(logits, labels.double()).item()
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-6)  # bfloat16: 1e-3


@pytest.mark.parametrize(
    ("settings", "of", "message"),
    [
        ({"batch_size": 6}, 4, "train.batch_size: 6 films of a step do not divide into 4 parts"),
        ({"batch_size": 6, "accumulate": 3}, 2, "batch norm needs at least 2 in each"),
        ({"accumulate": 0}, 1, "train.accumulate: at least 1, not 0"),
        ({"pos_weight": PosWeight.batchwise}, 2, "train.pos_weight: batchwise"),
        ({"batch_size": 32}, 2, "20 films, fewer than one step cut into 2 parts"),
        ({"batch_size": 16}, 8, "validation fold has 7 films for 8 processes"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(tmp_path, settings, of, message):
    config = replace(LEARNT, **settings)
    with pytest.raises(TrainingError, match=message):
        trained(tmp_path, config, rank=Rank(0, of, tmp_path / "meeting"))
    assert list(tmp_path.iterdir()) == []


def test_another_number_of_processes_does_not_go_on_in_the_folder(tmp_path):
    trained(tmp_path, FROZEN)
    with pytest.raises(TrainingError, match=r"another training \(other processes\)"):
        trained(tmp_path, FROZEN, rank=Rank(0, 2, tmp_path / "meeting"))
