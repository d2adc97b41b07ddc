"""Weights on disk (safetensors, JSON beside them), and the weights that training starts from."""

import hashlib
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
from torchvision.models import DenseNet121_Weights

from models.densenet import DenseNet121, SeverityRegressor
from models.foreign_weights import (
    PUBLISHED_LABELS,
    SAVE_ALONE,
    CheckpointError,
    from_torchxrayvision,
    in_our_spelling,
    is_torchxrayvision,
    read_pickled,
    select_outputs,
)

ARCHITECTURE = "DenseNet121"
_ARCHITECTURES = (ARCHITECTURE, SeverityRegressor.__name__)
_SHOWN_NAMES = 5  # of each kind


def save_checkpoint(
    path: Path, model: DenseNet121, labels: Sequence[str], extra: Mapping[str, Any]
) -> None:
    """Write ``path`` (.safetensors) and, beside it, a .json of the labels and of ``extra``.

    ``extra`` (side in pixels, settings, metrics ...) is plain JSON data. Each file appears whole or
    not at all, the weights last. Raises ValueError for labels that do not match the outputs.
    """
    if len(labels) != model.num_outputs:
        raise ValueError(f"{len(labels)} labels for a model with {model.num_outputs} outputs")
    meta = {"architecture": type(model).__name__, "labels": list(labels), **extra}
    text = json.dumps(meta, indent=2) + "\n"
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
    meta = _described(path)
    bias = state.get("classifier.bias")
    if bias is not None and bias.numel() != len(meta["labels"]):  # before so many are allocated
        raise CheckpointError(
            f"{path}: {bias.numel()} outputs, but {path.with_suffix('.json').name} has "
            f"{len(meta['labels'])} labels"
        )
    model = _seeded_model(len(meta["labels"]), seed=0)
    if meta["architecture"] == SeverityRegressor.__name__:
        model = severity_regressor(model, start=0.0)
    fit_weights(model, state, path)
    return model.eval(), meta


def _described(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    try:
        meta = json.loads(beside.read_text(encoding="utf-8"))
        labels, architecture = meta["labels"], meta["architecture"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{beside}: absent; it names the outputs of {path.name}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{beside}: does not describe a checkpoint ({error!r})") from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise CheckpointError(f"{beside}: labels is not a list of names")
    if architecture not in _ARCHITECTURES:
        raise CheckpointError(
            f"{beside}: architecture is {architecture!r}, expected {' or '.join(_ARCHITECTURES)}"
        )
    return meta


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
    missing = [name for name in own if name not in state]
    unexpected = sorted(name for name in state if name not in own)
    both = [name for name in own if name in state]
    reshaped = [name for name in both if own[name].shape != state[name].shape]
    if "classifier.bias" in reshaped and not missing and not unexpected:
        raise CheckpointError(
            f"{source}: its classifier has {_shape(state, 'classifier.bias')} outputs, this model "
            f"needs {model.num_outputs}: choose weights that were trained on the same labels"
        )
    if missing or unexpected or reshaped:
        shown = [name for names in (missing, unexpected, reshaped) for name in names[:_SHOWN_NAMES]]
        width = max(map(len, shown))
        rows = [f"{'name':{width}}  {'in the file':16}  needed"]
        rows += [f"{name:{width}}  {_shape(state, name):16}  {_shape(own, name)}" for name in shown]
        raise CheckpointError(
            f"{source}: not the weights of a {ARCHITECTURE}, which has {len(own)}: {len(missing)} "
            f"missing, {len(unexpected)} unexpected, {len(reshaped)} of another shape"
            + "".join(f"\n  {row}" for row in rows)
            + f"\nIf it holds one among other things, {SAVE_ALONE}"
        )
    model.load_state_dict(state)


def initial_model(
    init: str, num_outputs: int, seed: int, labels: Sequence[str] = ()
) -> DenseNet121:
    """The model that training starts from, on the CPU, drawn by ``seed`` where anything is random.

    ``init`` is `random`, `imagenet` (torchvision's weights under a fresh classifier) or a file: our
    .safetensors, or what torch.save made of a state dict or of a whole model, torchxrayvision's
    included. ``labels`` name the outputs: those of the file are matched by name where it names
    them (the .json beside it) or where their number tells (see ``PUBLISHED_LABELS``), else taken
    in their order. Raises CheckpointError.
    """
    model = _seeded_model(num_outputs, seed)
    if init == "random":
        return model
    if init == "imagenet":
        path, state = _imagenet_state()
        if num_outputs != len(state.get("classifier.bias", ())):
            state.update({f"classifier.{k}": v for k, v in model.classifier.state_dict().items()})
        fit_weights(model, state, path)
        return model
    path = Path(init)
    if not path.is_file():
        raise CheckpointError(
            f"model.init={init}: no such file; choose random, imagenet or a file of weights"
        )
    fit_weights(model, _state_of_file(path, labels), path)
    return model


def with_fresh_head(classifier: DenseNet121, num_outputs: int, seed: int) -> DenseNet121:
    """A copy of ``classifier`` with a fresh head of ``num_outputs`` logits, drawn by ``seed``."""
    model = _seeded_model(num_outputs, seed)
    model.features.load_state_dict(classifier.features.state_dict())
    return model


def severity_regressor(classifier: DenseNet121, start: float) -> SeverityRegressor:
    """A copy of ``classifier`` whose one output is ``start`` (the train mean) for every film.

    The head's weights start at 0 (ours; published code draws them), so no film starts below the
    ReLU, where there is no gradient.
    """
    with torch.random.fork_rng(devices=[]):
        model = SeverityRegressor()
    model.features.load_state_dict(classifier.features.state_dict())
    linear = cast(nn.Linear, model.classifier[0])
    nn.init.zeros_(linear.weight)
    nn.init.constant_(linear.bias, start)
    return model


def _state_of_file(path: Path, labels: Sequence[str]) -> dict[str, Tensor]:
    read = load_weights if path.suffix == ".safetensors" else read_pickled
    state = in_our_spelling(read(path), path)
    own: Sequence[str] = _described(path)["labels"] if path.with_suffix(".json").is_file() else ()
    if is_torchxrayvision(state):
        state, own = from_torchxrayvision(state)
    if not labels or "classifier.weight" not in state or "classifier.bias" not in state:
        return state
    own = own or PUBLISHED_LABELS.get(state["classifier.bias"].numel(), ())
    return select_outputs(state, own, labels, path) if own else state


def _seeded_model(num_outputs: int, seed: int) -> DenseNet121:
    # Layers draw from torch's global CPU generator, which is the caller's: borrow and restore it.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return DenseNet121(num_outputs)


def _imagenet_state() -> tuple[Path, dict[str, Tensor]]:
    """torchvision's file and its weights in our spelling; it is downloaded if it is not there."""
    weights = DenseNet121_Weights.IMAGENET1K_V1
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    advice = (
        f"Put the file from {weights.url} in {path.parent} (over a broken one, if there is one), "
        "or set model.init=random"
    )
    try:
        if path.exists():  # torch compares with the digest in the name what it downloads, no other
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not digest.startswith(path.stem.rpartition("-")[2]):
                raise CheckpointError(
                    f"model.init=imagenet: {path} is not the file that its name says: its sha256 "
                    f"begins with {digest[:8]}. {advice}"
                )
        # Eight digits keep no forger out: nothing that the pickle names is called either.
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except pickle.UnpicklingError as error:  # its text advises to let the file run
        raise CheckpointError(
            f"model.init=imagenet: {path} holds something else than weights. {advice}"
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise CheckpointError(
            f"model.init=imagenet: {path.name} could not be had ({error}). {advice}"
        ) from error
    return path, in_our_spelling(state, path)


def _shape(state: Mapping[str, Tensor], name: str) -> str:
    if name not in state:
        return "-"
    return " x ".join(map(str, state[name].shape)) or "a number"
