"""Files of weights in the forms that others publish, with networks that were never trained."""

import sys
import types
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import DenseNet, densenet121


def save_as_published(network: nn.Module, path: Path) -> None:
    """As the published training saves: the whole parallel model, and where it stood."""
    content = {
        "model": nn.DataParallel(network),
        "best_loss": 0.138,
        "epoch": 8,
        "rng_state": torch.get_rng_state(),
        "LR": 0.001,
    }
    torch.save(content, path)


def old_spelling(name: str) -> str:
    """As torchvision before 0.2.1 and a parallel model wrote it."""
    for layer in ("norm", "conv"):
        for position in "12":
            name = name.replace(f".{layer}{position}.", f".{layer}.{position}.")
    return f"module.{name}"


def torchxrayvision_net() -> DenseNet:
    """A torchvision DenseNet with one channel and 18 outputs: the same layers under one name."""
    model = densenet121(num_classes=18)
    model.features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    return model.eval()


def torchxrayvision_films(grey: Tensor) -> Tensor:
    """Films uint8 (N, H, W) as torchxrayvision reads them: float32 (N, 1, H, W), -1024 to 1024."""
    return (1024 * (2 * (grey / 255) - 1)).unsqueeze(1)


def save_as_torchxrayvision(network: DenseNet, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickled whole under torchxrayvision's name of the class, in the form that torch 1.5 wrote."""

    class Theirs(DenseNet):
        pass

    Theirs.__name__ = Theirs.__qualname__ = "DenseNet"
    Theirs.__module__ = "torchxrayvision.models"
    package = types.ModuleType("torchxrayvision.models")
    package.DenseNet = Theirs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchxrayvision", types.ModuleType("torchxrayvision"))
    monkeypatch.setitem(sys.modules, "torchxrayvision.models", package)
    network.__class__ = Theirs
    torch.save(network, path, _use_new_zipfile_serialization=False)
