"""Fine-tuning from cached feature maps beside the same step of the whole network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.checkpoints import (
    initial_model,
    load_checkpoint,
    save_checkpoint,
    severity_regressor,
    with_fresh_head,
)
from models.config import Optimizer, TrainConfig
from models.densenet import DenseNet121, SeverityRegressor, normalise
from models.fine_tuning import FrozenFeatures, UnfrozenPart, write_frozen_features
from models.training import train
from models.validation_metrics import MEAN_ABSOLUTE_ERROR

CPU = torch.device("cpu")
CONFIG = TrainConfig(
    epochs=2, batch_size=4, optimizer=Optimizer.adamw, learning_rate=1e-4, weight_decay=0.0
)
FILMS = torch.randint(0, 256, (6, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
SCORES = torch.arange(6.0).reshape(6, 1)


@pytest.fixture(scope="module")
def classifier() -> DenseNet121:
    return initial_model("random", 2, seed=0)


@pytest.fixture(scope="module")
def features(classifier: DenseNet121, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features") / "features.npy"
    write_frozen_features(path, classifier, FILMS.split(4), len(FILMS), CPU)
    return path


def tune(model: DenseNet121, features: Path, folder: Path, **others: object) -> list[Tensor]:
    data = FrozenFeatures(features, np.arange(6), SCORES)
    arguments = {"seed": 1, "device": CPU, "metric": MEAN_ABSOLUTE_ERROR, **others}
    train(
        *(UnfrozenPart(model), data, data, CONFIG),
        folder=folder,
        loss=nn.MSELoss(),
        prepare=nn.Identity(),
        **arguments,
    )
    return [value.clone() for value in model.state_dict().values()]


def test_one_step_from_features_is_the_step_of_the_whole_network(classifier, features):
    steps = []
    for cached in (True, False):
        model = with_fresh_head(classifier, 1, seed=2).eval()
        part = UnfrozenPart(model).train()
        optimizer = torch.optim.SGD(part.parameters(), lr=0.1)
        if cached:
            output = part(torch.from_numpy(np.load(features)))
        else:
            output = model(normalise(FILMS))
        nn.functional.mse_loss(output, SCORES).backward()
        optimizer.step()
        steps.append([p.detach().clone() for p in part.parameters()])
    for one, other in zip(*steps, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_only_what_follows_transition2_learns_and_a_repeat_is_bit_equal(
    classifier, features, tmp_path
):
    runs = []
    for name in ("one", "two"):
        model = with_fresh_head(classifier, 1, seed=2)  # a head of zeros would learn alone at first
        before = {key: value.clone() for key, value in model.state_dict().items()}
        runs.append(tune(model, features, tmp_path / name))
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))
    moved = {key for key, value in model.state_dict().items() if not value.equal(before[key])}
    assert "features.denseblock3.denselayer1.conv1.weight" in moved
    frozen = ("features.conv0", "features.norm0", "features.denseblock1", "features.denseblock2")
    assert not any(key.startswith((*frozen, "features.transition2")) for key in moved)


def test_a_stopped_fine_tuning_ends_in_the_same_weights(classifier, features, tmp_path):
    def stop(epoch: int, *_: object) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    whole = tune(severity_regressor(classifier, start=2.5), features, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        tune(severity_regressor(classifier, 2.5), features, tmp_path / "cut", on_progress=stop)
    resumed = tune(severity_regressor(classifier, start=2.5), features, tmp_path / "cut")
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))


def test_a_regressor_starts_at_the_train_mean_and_is_never_negative(classifier):
    model = severity_regressor(classifier, start=7.25).eval()
    with torch.no_grad():
        assert torch.equal(model(normalise(FILMS)), torch.full((6, 1), 7.25))
        model.classifier[0].weight.normal_()
        model.classifier[0].bias.fill_(-1000.0)
        assert torch.equal(model(normalise(FILMS)), torch.zeros(6, 1))


def test_a_regressor_comes_back_as_it_was_saved(classifier, tmp_path):
    model = severity_regressor(classifier, start=3.0)
    save_checkpoint(tmp_path / "m.safetensors", model, ["severity"], {})
    loaded, meta = load_checkpoint(tmp_path / "m.safetensors")
    assert isinstance(loaded, SeverityRegressor)
    assert meta["architecture"] == "SeverityRegressor"
    assert loaded.state_dict()["classifier.0.bias"].item() == 3.0
