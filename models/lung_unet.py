"""A small U-Net that outlines the lungs.

Own parts, not segmentation-models-pytorch: forty lines of torch against a dependency, whose
encoders are larger than two lungs on a grey film need.
"""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from models.checkpoints import load_weights
from models.foreign_weights import CheckpointError
from models.prediction import predict

WIDTHS = (8, 16, 32, 64, 128)  # ours: channels from full resolution down to a sixteenth of it


class LungUNet(nn.Module):
    """Grey images float32 (N, 1, H, W) -> lung logits (N, 1, H, W); sides divisible by 16."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([_two_convolutions(a, b) for a, b in pairwise((1, *WIDTHS))])
        self.up = nn.ModuleList(
            [_two_convolutions(deep + skip, skip) for skip, deep in reversed([*pairwise(WIDTHS)])]
        )
        self.shrink = nn.MaxPool2d(2)
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")
        self.last = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        skips = [self.down[0](images)]
        for block in self.down[1:]:
            skips.append(block(self.shrink(skips[-1])))
        features = skips.pop()
        for block in self.up:
            features = block(torch.cat([self.grow(features), skips.pop()], dim=1))
        return self.last(features)


def initial_lung_unet(seed: int) -> LungUNet:
    """An untrained network, drawn by ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return LungUNet()


def load_lung_unet(path: Path) -> LungUNet:
    """The network of a file of ``checkpoints.save_weights``, in evaluation mode.

    Raises CheckpointError for a file of something else.
    """
    model = initial_lung_unet(0)
    state = load_weights(path)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: not the weights of a lung network ({error})") from error
    return model.eval()


class DiceAndCrossEntropy(nn.Module):
    """Binary cross-entropy plus 1 - soft Dice, of logits and masks (N, 1, H, W); means over images.

    One is added to both sides of the Dice fraction, so that an empty mask has a loss.
    """

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        probabilities = torch.sigmoid(logits)
        both = (probabilities * masks).sum((1, 2, 3))
        sizes = probabilities.sum((1, 2, 3)) + masks.sum((1, 2, 3))
        dice = (2 * both + 1) / (sizes + 1)
        return binary_cross_entropy_with_logits(logits, masks) + (1 - dice).mean()


def grey(films: Tensor) -> Tensor:
    """Films uint8 (N, H, W) as float32 (N, 1, H, W) in [-1, 1]. ValueError for another kind."""
    if films.dtype != torch.uint8 or films.ndim != 3:
        raise ValueError(
            f"films must be uint8 of shape (N, H, W), not {films.dtype} of {tuple(films.shape)}"
        )
    return films.unsqueeze(1).float().div(127.5) - 1


def predict_masks(
    model: LungUNet, batches: Iterable[Tensor], device: torch.device
) -> NDArray[np.bool_]:
    """Lung masks (N, H, W) of films uint8 (n, H, W): True where lung is likelier than not."""
    return np.concatenate([predict(model, [films], device, grey)[:, 0] > 0 for films in batches])


def _two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)
