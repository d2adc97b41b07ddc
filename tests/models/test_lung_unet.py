"""The lung network on bright discs."""

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from models.checkpoints import CheckpointError, save_weights
from models.config import Optimizer, TrainConfig
from models.lung_unet import (
    DiceAndCrossEntropy,
    LungUNet,
    grey,
    initial_lung_unet,
    load_lung_unet,
    predict_masks,
)
from models.training import train
from models.validation_metrics import MEAN_DICE, dice_per_image

CPU = torch.device("cpu")


def discs(count: int, seed: int) -> TensorDataset:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    centre = rng.uniform(10, 22, (count, 2, 1, 1))
    masks = np.hypot(y - centre[:, 0], x - centre[:, 1]) < rng.uniform(4, 9, (count, 1, 1))
    films = rng.integers(0, 120, masks.shape) + 80 * masks
    return TensorDataset(
        torch.from_numpy(films.astype(np.uint8)), torch.from_numpy(masks[:, None]).float()
    )


def test_it_learns_discs(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LungUNet()
    config = TrainConfig(epochs=8, batch_size=8, optimizer=Optimizer.adamw, learning_rate=3e-3)
    val = discs(16, seed=1)
    result = train(
        *(model, discs(96, seed=0), val, config),
        seed=0,
        folder=tmp_path,
        device=CPU,
        loss=DiceAndCrossEntropy(),
        prepare=grey,
        metric=MEAN_DICE,
    )
    films, masks = val.tensors
    dice = dice_per_image(predict_masks(model, films.split(5), CPU), masks[:, 0].numpy() > 0)
    assert dice.mean() > 0.9
    best = result.history.set_index("epoch").loc[result.best_epoch, "val_dice"]
    assert best == pytest.approx(dice.mean(), abs=1e-3)


def test_a_network_comes_back_from_its_file_and_another_file_is_named(tmp_path):
    drawn, again, other = (initial_lung_unet(seed) for seed in (1, 1, 2))
    films = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        expected = drawn.eval()(films)
        assert torch.equal(again.eval()(films), expected)
        assert not torch.equal(other.eval()(films), expected)
        save_weights(tmp_path / "lungs.safetensors", drawn.state_dict())
        assert torch.equal(load_lung_unet(tmp_path / "lungs.safetensors")(films), expected)
    save_weights(tmp_path / "other.safetensors", torch.nn.Linear(2, 2).state_dict())
    with pytest.raises(CheckpointError, match=r"other\.safetensors: not the weights of a lung"):
        load_lung_unet(tmp_path / "other.safetensors")


@pytest.mark.parametrize("films", [torch.zeros(2, 16, 16), torch.zeros(16, 16).byte()])
def test_films_of_another_kind_are_refused(films):
    with pytest.raises(ValueError, match="films must be uint8"):
        grey(films)
