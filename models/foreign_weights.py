"""Weights that others trained: pickles read without running them, names and outputs made ours."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from models import inert_pickle
from models.densenet import IMAGENET_MEAN, IMAGENET_STD

PUBLISHED_LABELS = {  # published code: the outputs of the released checkpoints, by their number
    14: (
        *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule"),
        *("Pneumonia", "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis"),
        *("Pleural_Thickening", "Hernia"),
    ),
    3: ("Detector01", "Detector2", "Detector3"),
}
TORCHXRAYVISION_LABELS = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema"),
    *("Fibrosis", "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule"),
    *("Mass", "Hernia", "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum"),
)
_GREY_RANGE = 1024.0  # torchxrayvision's films go from -1024 to 1024
_SECONDS = 180.0  # on the wall
_CPU_SECONDS = 8  # ours: many times what a file of the largest size takes
SAVE_ALONE = "save its state dict alone, by torch.save(model.state_dict(), ...)"
_STEM = "features.conv0.weight"
# What DataParallel and torch.compile put before the names of what they wrap.
_WRAPPED = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod)\.")
# Of a loss and of averaged weights: they are no layer's.
_OF_NO_LAYER = ("pos_weight", "n_averaged")
_OLD_SPELLING = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")


class CheckpointError(ValueError):
    """A file of weights is absent, unreadable or does not fit; the message says which and why."""


def read_pickled(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of torch.save: a state dict, or the model itself, pickled whole.

    ``models/inert_pickle.py`` reads it in a process of its own, which runs nothing that the file
    names and has three minutes to end. Raises CheckpointError naming what it refused.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "weights.safetensors"
        command = [sys.executable, "-I", inert_pickle.__file__]
        command += [str(path.resolve()), str(target), str(_CPU_SECONDS)]
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # they take up its memory
        try:
            done = subprocess.run(
                command,
                env={**os.environ, **threads},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CheckpointError(f"{path}: not read within {_SECONDS:g} s") from error
        if done.returncode == -signal.SIGXCPU:
            raise CheckpointError(f"{path}: takes over {_CPU_SECONDS} s of the processor to read")
        if done.returncode:
            reason = done.stderr.strip() or f"the reading process ended with {done.returncode}"
            raise CheckpointError(
                f"{path}: not readable as weights: {reason}. To use it, {SAVE_ALONE}"
            )
        return load_file(target)


def in_our_spelling(state: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """``state``, read from ``source``, under torchvision's present names.

    Takes off what stands before ``features.`` and ``classifier.`` (``module.`` of DataParallel, the
    attribute that held the network), joins ``norm.1`` to ``norm1``, counts 0 batches where nothing
    counts them (before torch 0.4.1), and names the head of the published regressor,
    Sequential(Linear, ReLU), like any other: its ReLU holds no weight. Raises CheckpointError for
    two networks in one file.
    """
    named = [name for name in state if not name.endswith(_OF_NO_LAYER)]
    bare = {name: _WRAPPED.sub("", name) for name in named}
    prefixes = sorted({n.removesuffix(_STEM) for n in bare.values() if n.endswith(_STEM)})
    if len(prefixes) > 1:
        several = ", ".join(prefix or _STEM for prefix in prefixes)
        raise CheckpointError(
            f"{source}: holds several networks ({several}). Choose one: {SAVE_ALONE}"
        )
    prefix = prefixes[0] if prefixes else ""
    spelt = {
        _OLD_SPELLING.sub(r"\1\2.", bare[name].removeprefix(prefix)).replace(
            "classifier.0.", "classifier."
        ): state[name]
        for name in named
    }
    if len(spelt) < len(named):
        raise CheckpointError(
            f"{source}: holds two tensors for one place. Choose one: {SAVE_ALONE}"
        )
    if not any(name.endswith(".num_batches_tracked") for name in spelt):
        means = [name for name in spelt if name.endswith(".running_mean")]
        for name in means:
            spelt[name.replace("running_mean", "num_batches_tracked")] = torch.tensor(0)
    return spelt


def is_torchxrayvision(state: Mapping[str, Tensor]) -> bool:
    """Whether the names and shapes are those of its DenseNets: one channel in, 18 outputs."""
    stem, bias = state.get("features.conv0.weight"), state.get("classifier.bias")
    if stem is None or bias is None:
        return False
    return stem.shape[1:2] == (1,) and bias.shape == (len(TORCHXRAYVISION_LABELS),)


def from_torchxrayvision(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Weights for our normalised films with the same logits, and the labels of its outputs.

    torchxrayvision reads u = 1024 (2g - 1) of a grey film g in [0, 1]; ours come as x_c = (g -
    mean_c) / std_c in three channels. One channel gives u only up to a constant, which zero padding
    spoils at the borders; three give u = sum a_c x_c without one, so the first convolution becomes
    a_c times its kernel and zero padding stays what it was. Of the a_c the least-norm ones are
    taken. Holds for grey films, which is what ``normalise`` makes.

    A label is "" where ``op_threshs`` says that the output was not trained (NaN). These thresholds
    only calibrate probabilities and are left out: logits and their order are the network's.
    """
    result = dict(state)
    thresholds = result.pop("op_threshs", torch.zeros(len(TORCHXRAYVISION_LABELS)))
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64)
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64)
    # u = 2048 g - 1024 and x_c = g / std_c - mean_c / std_c: the terms in g, then the constants.
    terms = torch.stack((1 / std, mean / std))
    wanted = torch.tensor((2 * _GREY_RANGE, _GREY_RANGE), dtype=torch.float64)
    factors = torch.linalg.pinv(terms) @ wanted
    stem = result["features.conv0.weight"]
    result["features.conv0.weight"] = (stem.double() * factors.view(1, 3, 1, 1)).to(stem.dtype)
    named = zip(TORCHXRAYVISION_LABELS, thresholds.isnan().tolist(), strict=True)
    return result, tuple("" if untrained else label for label, untrained in named)


def select_outputs(
    state: Mapping[str, Tensor], own: Sequence[str], labels: Sequence[str], source: Path
) -> dict[str, Tensor]:
    """``state``, whose outputs are ``own``, with the outputs ``labels`` in their order.

    Raises CheckpointError naming the labels that it has no output for.
    """
    absent = [label for label in labels if label not in own]
    if absent:
        raise CheckpointError(
            f"{source}: has no trained output for {', '.join(absent)}; its outputs are "
            f"{', '.join(label for label in own if label)}"
        )
    if len(state["classifier.bias"]) != len(own):
        raise CheckpointError(
            f"{source}: {len(own)} labels for {len(state['classifier.bias'])} outputs"
        )
    rows = [own.index(label) for label in labels]
    heads = {name: state[name][rows] for name in ("classifier.weight", "classifier.bias")}
    return {**state, **heads}
