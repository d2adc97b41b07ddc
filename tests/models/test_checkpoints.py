"""Checkpoints come back as they were saved; files that do not fit are refused by name."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import DenseNet121_Weights, densenet121

from models.checkpoints import CheckpointError, initial_model, load_checkpoint, save_checkpoint
from models.densenet import DenseNet121
from tests.models.test_inert_pickle import Gadget

LABELS = ["Effusion", "Mass", "Hernia"]


@pytest.fixture(scope="module")
def model() -> DenseNet121:
    return initial_model("random", 3, seed=5)


@pytest.fixture
def saved(model: DenseNet121, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model, LABELS, {"side": 64})
    return path


def equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[key]) for key, value in first.state_dict().items())


def test_a_checkpoint_comes_back_as_it_was_saved(model, saved):
    loaded, meta = load_checkpoint(saved)
    assert equal(loaded, model)
    assert not loaded.training
    assert meta == {"architecture": "DenseNet121", "labels": LABELS, "side": 64}
    assert sorted(p.name for p in saved.parent.iterdir()) == ["model.json", "model.safetensors"]


def test_labels_must_name_every_output(model, tmp_path):
    with pytest.raises(ValueError, match="2 labels for a model with 3 outputs"):
        save_checkpoint(tmp_path / "model.safetensors", model, LABELS[:2], {})


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such file"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_truncated_file_is_named(saved):
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not a whole safetensors file"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["Mass"] * 2, r"3 outputs, but model\.json has 2 labels"),
        (["Mass"] * 10**6, r"3 outputs, but model\.json has 1000000 labels"),
        ("Mass", "labels is not a list of names"),
        (["Mass", None, 3], "labels is not a list of names"),
        (3, "labels is not a list of names"),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_a_model_is_made(saved, labels, reason):
    beside = saved.with_suffix(".json")
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "labels": labels}))
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(saved)


def test_absent_or_broken_labels_are_named(saved):
    beside = saved.with_suffix(".json")
    beside.write_text('{"labels": [')
    with pytest.raises(CheckpointError, match=r"model\.json: does not describe"):
        load_checkpoint(saved)
    beside.unlink()
    with pytest.raises(CheckpointError, match=r"model\.json: absent"):
        load_checkpoint(saved)


def test_unmatched_names_are_listed_with_counts(model, tmp_path):
    path = tmp_path / "other.safetensors"
    state = model.state_dict()
    save_file({f"backbone.{k.replace('features', 'body')}": v for k, v in state.items()}, path)
    with pytest.raises(CheckpointError) as caught:
        initial_model(str(path), 3, seed=0)
    message = str(caught.value)
    assert "which has 727: 727 missing, 727 unexpected, 0 of another shape" in message
    assert re.search(r"features\.conv0\.weight +- +64 x 3 x 7 x 7\n", message)
    assert re.search(r"backbone\.body\.conv0\.weight +64 x 3 x 7 x 7 +-\n", message)
    assert "save its state dict alone" in message
    assert len(message.splitlines()) < 20


def test_a_file_with_other_outputs_is_an_error_that_names_both(saved):
    with pytest.raises(CheckpointError, match="has 3 outputs, this model needs 14"):
        initial_model(str(saved), 14, seed=0)


def test_random_weights_follow_from_the_seed_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    first, again, other = (initial_model("random", 3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(first, again)
    assert not torch.equal(first.features.conv0.weight, other.features.conv0.weight)


def test_an_unknown_init_is_refused_with_the_choices(tmp_path):
    with pytest.raises(CheckpointError, match=r"init=imagnet: no such file; choose random"):
        initial_model("imagnet", 3, seed=0)
    (tmp_path / "weights.h5").touch()
    with pytest.raises(CheckpointError, match=r"weights\.h5: .*not a file of torch\.save"):
        initial_model(str(tmp_path / "weights.h5"), 3, seed=0)


def test_imagenet_without_a_network_says_which_file_goes_where(monkeypatch, tmp_path):
    def unreachable(*_args: object, **_kwargs: object) -> None:
        raise URLError("network is unreachable")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        initial_model("imagenet", 3, seed=0)
    message = str(caught.value)
    assert "densenet121-a639ec97.pth" in message
    assert str(tmp_path / "hub" / "checkpoints") in message
    assert "model.init=random" in message


def put_for_imagenet(
    content: Any, home: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool = False
) -> Path:
    """Where torchvision's file lies once it was downloaded, under a digest that is right."""
    monkeypatch.setenv("TORCH_HOME", str(home))
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(content, folder / "made", _use_new_zipfile_serialization=zipped)
    digest = hashlib.sha256((folder / "made").read_bytes()).hexdigest()
    name = f"densenet121-{digest[:8]}.pth"
    url = f"https://download.pytorch.org/models/{name}"
    monkeypatch.setattr(DenseNet121_Weights, "url", url)
    return (folder / "made").rename(folder / name)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_runs_that_a_file_in_the_place_of_imagenet_s_names(tmp_path, monkeypatch, zipped):
    marker = tmp_path / "ran"
    monkeypatch.setenv("MARKER", str(marker))
    made = {"classifier.bias": Gadget(os.system, 'touch "$MARKER"')}
    path = put_for_imagenet(made, tmp_path, monkeypatch, zipped)
    with pytest.raises(CheckpointError, match=rf"{path} holds something else than weights"):
        initial_model("imagenet", 3, seed=0)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_a_file_whose_content_is_not_what_its_name_says_is_refused_before_it_is_read(
    tmp_path, monkeypatch
):
    path = put_for_imagenet({}, tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes() + b"\0")
    monkeypatch.setattr(DenseNet121_Weights, "get_state_dict", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(CheckpointError, match=rf"{path} is not the file that its name says"):
        initial_model("imagenet", 3, seed=0)


def test_imagenet_weights_come_under_a_fresh_seeded_classifier(tmp_path, monkeypatch):
    published = densenet121(weights=None)
    # torchvision's file spells norm1 as norm.1, counts no batches, and is of the older form.
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
        for key, value in published.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    put_for_imagenet(state, tmp_path, monkeypatch)
    model = initial_model("imagenet", 3, seed=7)
    fresh = initial_model("random", 3, seed=7)
    assert equal(model.features, published.features)
    assert equal(model.classifier, fresh.classifier)
    assert equal(initial_model("imagenet", 1000, seed=7), published)
