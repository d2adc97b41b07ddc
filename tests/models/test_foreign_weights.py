"""Weights of others: the published checkpoints, old spellings, torchxrayvision's DenseNet."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import DenseNet, densenet121

from data.nih import FINDINGS
from models.checkpoints import initial_model, save_checkpoint
from models.densenet import IMAGENET_MEAN, IMAGENET_STD, DenseNet121, normalise
from models.foreign_weights import (
    PUBLISHED_LABELS,
    TORCHXRAYVISION_LABELS,
    CheckpointError,
    from_torchxrayvision,
    in_our_spelling,
    select_outputs,
)
from tests.weights_of_others import (
    old_spelling,
    save_as_published,
    save_as_torchxrayvision,
    torchxrayvision_films,
    torchxrayvision_net,
)

HERE = Path("weights.pt")


def films(count: int = 2, side: int = 64) -> Tensor:
    return torch.randint(0, 256, (count, side, side), dtype=torch.uint8)


@pytest.fixture(scope="module")
def published() -> DenseNet:
    return densenet121(num_classes=14).eval()


@pytest.fixture(scope="module")
def checkpoint_best(published: DenseNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results") / "checkpoint_best"
    save_as_published(published, path)
    return path


def test_a_published_checkpoint_gives_its_own_logits(published, checkpoint_best):
    model = initial_model(str(checkpoint_best), 14, seed=0, labels=FINDINGS).eval()
    images = normalise(films())
    with torch.no_grad():
        assert torch.equal(model(images), published(images))


def test_outputs_are_matched_by_name(published, checkpoint_best):
    labels = ["Hernia", "Mass", "Atelectasis"]
    model = initial_model(str(checkpoint_best), 3, seed=0, labels=labels)
    assert torch.equal(model.classifier.weight, published.classifier.weight[[13, 4, 0]])
    assert torch.equal(model.classifier.bias, published.classifier.bias[[13, 4, 0]])


def test_a_label_without_an_output_is_named(checkpoint_best):
    with pytest.raises(CheckpointError, match=r"no trained output for Fracture; .*Atelectasis"):
        initial_model(str(checkpoint_best), 2, seed=0, labels=["Mass", "Fracture"])


def test_our_own_weights_are_matched_by_the_names_beside_them(tmp_path):
    trained = initial_model("random", 2, seed=1)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, trained, ["Edema", "Mass"], {})
    turned = initial_model(str(path), 2, seed=0, labels=["Mass", "Edema"])
    assert torch.equal(turned.classifier.weight, trained.classifier.weight[[1, 0]])


def test_the_published_order_is_the_one_of_the_data():
    assert PUBLISHED_LABELS[14] == FINDINGS
    assert set(FINDINGS) < set(TORCHXRAYVISION_LABELS)


def test_names_without_a_number_of_outputs_that_fits_are_refused():
    state = {"classifier.weight": torch.zeros(3, 4), "classifier.bias": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=r"weights\.pt: 2 labels for 3 outputs"):
        select_outputs(state, ["Mass", "Edema"], ["Mass"], HERE)


def test_old_spellings_come_out_as_ours_and_ours_as_they_are():
    state = DenseNet121(3).state_dict()
    old = {old_spelling(k): v for k, v in state.items() if not k.endswith("tracked")}
    assert "module.features.denseblock1.denselayer1.norm.1.weight" in old
    read = in_our_spelling(old, HERE)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
    assert in_our_spelling(state, HERE).keys() == state.keys()


PREFIXES = (
    *("module.densenet121.", "model.", "_orig_mod.", "module._orig_mod.model.", "net.backbone."),
    *("model._orig_mod.module.", "features.", "module.", ""),
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_stands_before_all_names_of_the_network_is_taken_off(prefix):
    state = DenseNet121(3).state_dict()
    wrapped = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    read = in_our_spelling({**wrapped, "criterion.pos_weight": torch.ones(3)}, HERE)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())


def test_two_networks_in_one_state_dict_are_refused_with_their_names():
    state = DenseNet121(3).state_dict()
    both = {f"{who}.{n}": tensor for who in ("student", "teacher") for n, tensor in state.items()}
    with pytest.raises(CheckpointError, match=r"\(student\., teacher\.\).*state dict alone"):
        in_our_spelling(both, HERE)


def test_a_layer_beside_the_network_is_refused_and_not_left_out(tmp_path):
    state = {f"model.{name}": tensor for name, tensor in DenseNet121(3).state_dict().items()}
    save_file({**state, "attention.weight": torch.ones(4, 4)}, tmp_path / "more.safetensors")
    with pytest.raises(CheckpointError, match=r"attention\.weight[\s\S]*save its state dict alone"):
        initial_model(str(tmp_path / "more.safetensors"), 3, seed=0)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "net", "weights"])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_a_training_s_checkpoint_gives_the_network_s_own_logits(published, tmp_path, key, suffix):
    path = tmp_path / f"weights{suffix}"
    state = {f"module.densenet121.{n}": tensor for n, tensor in published.state_dict().items()}
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        optimizer = torch.optim.Adam([nn.Parameter(torch.ones(2))])
        more = {"epoch": 3, "optimizer": optimizer.state_dict(), "best": torch.tensor(0.8)}
        torch.save({**more, key: state, "hyper_parameters": {"lr": 1e-4}, "callbacks": {}}, path)
    model = initial_model(str(path), 14, seed=0, labels=FINDINGS).eval()
    images = normalise(films())
    with torch.no_grad():
        assert torch.equal(model(images), published(images))


def test_the_published_detectors_and_regressor_give_their_own_outputs(tmp_path):
    images = normalise(films())
    detectors = densenet121(num_classes=3).eval()
    save_as_published(detectors, tmp_path / "classification_detectors")
    labels = ["Detector3", "Detector01"]
    own = initial_model(str(tmp_path / "classification_detectors"), 2, seed=0, labels=labels).eval()
    regressor = densenet121(num_classes=1).eval()
    regressor.classifier = nn.Sequential(nn.Linear(1024, 1), nn.ReLU())
    save_as_published(regressor, tmp_path / "regression_severity")
    severity = initial_model(str(tmp_path / "regression_severity"), 1, seed=0).eval()
    with torch.no_grad():
        assert torch.equal(own(images), detectors(images)[:, [2, 0]])
        assert torch.equal(severity(images).relu(), regressor(images))


def test_two_spellings_of_one_name_are_refused():
    state = {"classifier.bias": torch.zeros(3), "module.classifier.bias": torch.ones(3)}
    with pytest.raises(CheckpointError, match="two tensors for one place"):
        in_our_spelling(state, HERE)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_torchxrayvision_s_logits_are_the_same_up_to_rounding_at_the_borders_too(dtype, tolerance):
    theirs = torchxrayvision_net().to(dtype)
    state, labels = from_torchxrayvision(theirs.state_dict())
    assert labels == TORCHXRAYVISION_LABELS
    ours = DenseNet121(18).eval().to(dtype)
    ours.load_state_dict(state)
    grey = films().to(dtype) / 255
    x = torch.stack([(grey - m) / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)], 1)
    u = (1024 * (2 * grey - 1)).unsqueeze(1)
    with torch.no_grad():
        stem = theirs.features.conv0(u)
        scale = stem.abs().max()
        assert (ours.features.conv0(x) - stem).abs().max() < tolerance * scale
        torch.testing.assert_close(ours(x), theirs(u), rtol=0, atol=100 * tolerance)


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_torchxrayvision_s_released_file_is_read_by_label(tmp_path, monkeypatch):
    theirs = torchxrayvision_net()
    path = tmp_path / "nih-densenet121-best.pt"
    save_as_torchxrayvision(theirs, path, monkeypatch)

    model = initial_model(str(path), 14, seed=0, labels=FINDINGS).eval()
    grey = films()
    with torch.no_grad():
        expected = theirs(torchxrayvision_films(grey))
        rows = [TORCHXRAYVISION_LABELS.index(label) for label in FINDINGS]
        torch.testing.assert_close(model(normalise(grey)), expected[:, rows], rtol=0, atol=2e-3)


def test_an_output_that_torchxrayvision_did_not_train_is_refused(tmp_path):
    thresholds = torch.full((18,), 0.1)
    thresholds[TORCHXRAYVISION_LABELS.index("Hernia")] = torch.nan
    path = tmp_path / "chex.pt"
    torch.save({**torchxrayvision_net().state_dict(), "op_threshs": thresholds}, path)
    assert initial_model(str(path), 1, seed=0, labels=["Mass"]).num_outputs == 1
    with pytest.raises(CheckpointError, match="no trained output for Hernia"):
        initial_model(str(path), 2, seed=0, labels=["Mass", "Hernia"])
