"""Weights on disk (safetensors, JSON beside them), and the weights that training starts from."""

import json
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import DenseNet121_Weights, densenet121

from models.densenet import DenseNet121, SeverityRegressor

ARCHITECTURE = "DenseNet121"
_ARCHITECTURES = (ARCHITECTURE, SeverityRegressor.__name__)
_PICKLED_SUFFIXES = (".pt", ".pth")
_SHOWN_KEYS = 5


class CheckpointError(ValueError):
    """A file of weights is absent, unreadable or does not fit; the message says which and why."""


def save_checkpoint(
    path: Path, model: DenseNet121, labels: Sequence[str], extra: Mapping[str, Any]
) -> None:
    """Write ``path`` (.safetensors) and, beside it, a .json of the labels and of ``extra``.

    ``extra`` (side in pixels, settings, metrics ...) is plain JSON data. Each file appears whole or
    not at all, the weights last. Raises ValueError for labels that do not match the outputs.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: a checkpoint's name ends in .safetensors")
    if len(labels) != model.num_outputs:
        raise ValueError(f"{len(labels)} labels for a model with {model.num_outputs} outputs")
    meta = {"architecture": type(model).__name__, "labels": list(labels)}
    if taken := meta.keys() & extra.keys():
        raise ValueError(f"extra must not hold {', '.join(sorted(taken))}: written by itself")
    text = json.dumps({**meta, **extra}, indent=2) + "\n"
    beside = path.with_suffix(".json")
    temporary = beside.with_name(beside.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, beside)
    save_weights(path, model.state_dict())


def save_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a state dict as safetensors, whole or not at all; same weights, same bytes."""
    temporary = path.with_name(path.name + ".tmp")
    save_file({key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> tuple[DenseNet121, dict[str, Any]]:
    """The model (on the CPU, in evaluation mode) and the JSON data that ``save_checkpoint`` wrote.

    Raises CheckpointError.
    """
    state = load_weights(path)
    beside = path.with_suffix(".json")
    try:
        meta = json.loads(beside.read_text(encoding="utf-8"))
        labels, architecture = meta["labels"], meta["architecture"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{beside}: absent; it names the outputs of {path.name}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{beside}: does not describe a checkpoint ({error!r})") from error
    if architecture not in _ARCHITECTURES:
        raise CheckpointError(
            f"{beside}: architecture is {architecture!r}, expected {' or '.join(_ARCHITECTURES)}"
        )
    if architecture == ARCHITECTURE:
        model = _seeded_model(len(labels), seed=0)
    else:
        model = severity_regressor(_seeded_model(1, seed=0), start=0.0)
    fit_weights(model, state, path)
    return model.eval(), meta


def load_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a .safetensors file. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error})") from error


def fit_weights(model: DenseNet121, state: Mapping[str, Tensor], source: Path) -> None:
    """Copy ``state``, read from ``source``, into ``model``, or raise CheckpointError before."""
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    if missing or unexpected:
        raise CheckpointError(
            f"{source}: not the weights of a {ARCHITECTURE} of torchvision's spelling\n"
            f"{_listing('missing', missing, len(own))}\n"
            f"{_listing('unexpected', unexpected, len(state))}"
        )
    bias = state[next(key for key in own if key.startswith("classifier") and "bias" in key)]
    outputs = len(bias) if bias.ndim else 0
    if outputs != model.num_outputs:
        raise CheckpointError(
            f"{source}: its classifier has {outputs} outputs, this model needs "
            f"{model.num_outputs}: choose weights that were trained on the same labels"
        )
    wrong = [key for key in own if own[key].shape != state[key].shape]
    if wrong:
        shapes = [f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}" for key in wrong]
        raise CheckpointError(f"{source}:\n{_listing('wrong shape', shapes, len(own))}")
    model.load_state_dict(state)


def initial_model(init: str, num_outputs: int, seed: int) -> DenseNet121:
    """The model that training starts from, on the CPU, drawn by ``seed`` where anything is random.

    ``init`` is `random`, `imagenet` (torchvision's weights under a fresh classifier) or a file: our
    .safetensors, or a .pt/.pth state dict. Raises CheckpointError.
    """
    model = _seeded_model(num_outputs, seed)
    if init == "random":
        return model
    if init == "imagenet":
        state = _imagenet_state()
        if num_outputs != len(state["classifier.bias"]):
            state.update({f"classifier.{k}": v for k, v in model.classifier.state_dict().items()})
        model.load_state_dict(state)
        return model
    path = Path(init)
    if not path.is_file():
        raise CheckpointError(
            f"model.init={init}: no such file; choose random, imagenet or a file of weights"
        )
    if path.suffix == ".safetensors":
        state = load_weights(path)
    elif path.suffix in _PICKLED_SUFFIXES:
        state = _load_pickled(path)
    else:
        known = ", ".join((".safetensors", *_PICKLED_SUFFIXES))
        raise CheckpointError(f"{path}: weights are read from files that end in {known}")
    fit_weights(model, state, path)
    return model


def detector(classifier: DenseNet121, num_outputs: int, seed: int) -> DenseNet121:
    """A copy of ``classifier`` with a fresh head of ``num_outputs`` logits, drawn by ``seed``."""
    model = _seeded_model(num_outputs, seed)
    model.features.load_state_dict(classifier.features.state_dict())
    return model


def severity_regressor(classifier: DenseNet121, start: float) -> SeverityRegressor:
    """A copy of ``classifier`` whose one output is ``start`` (the train mean) for every film.

    The head's weights start at 0 (ours; published code draws them), so no film starts below the
    ReLU, where there is no gradient. Raises ValueError for a negative start.
    """
    if not start >= 0:
        raise ValueError(f"start is {start}: a severity is not negative")
    with torch.random.fork_rng(devices=[]):
        model = SeverityRegressor()
    model.features.load_state_dict(classifier.features.state_dict())
    linear = cast(nn.Linear, model.classifier[0])
    nn.init.zeros_(linear.weight)
    nn.init.constant_(linear.bias, start)
    return model


def _seeded_model(num_outputs: int, seed: int) -> DenseNet121:
    # Layers draw from torch's global CPU generator, which is the caller's: borrow and restore it.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return DenseNet121(num_outputs)


def _imagenet_state() -> dict[str, Tensor]:
    weights = DenseNet121_Weights.IMAGENET1K_V1
    name = weights.url.rsplit("/", 1)[-1]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        with torch.random.fork_rng(devices=[]):
            return dict(densenet121(weights=weights, progress=False).state_dict())
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"model.init=imagenet: {name} could not be had ({error}). Put the file from "
            f"{weights.url} in {folder} (over a broken one, if there is one), or set "
            "model.init=random"
        ) from error


def _load_pickled(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path}: not a readable state dict. A whole pickled model is refused, since reading "
            "one runs code from the file: export model.state_dict() where you trust it "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: holds no state dict (names to tensors)")
    return {str(key).removeprefix("module."): tensor for key, tensor in state.items()}


def _listing(what: str, names: Sequence[str], total: int) -> str:
    shown = "".join(f"\n    {name}" for name in names[:_SHOWN_KEYS])
    more = f"\n    ... and {len(names) - _SHOWN_KEYS} more" if len(names) > _SHOWN_KEYS else ""
    return f"  {what}: {len(names)} of {total}{shown}{more}"
