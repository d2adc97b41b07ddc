"""DenseNet121 that hooks can trust: no in-place operation, every step of the forward a module.

torchvision's own forward ends in ``F.relu(features, inplace=True)``, which overwrites what a
forward hook on ``norm5`` has stored and forbids backward hooks there. Here the same arithmetic runs
through modules, under the same state-dict keys, with bit-equal outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models import DenseNet

TAPS = ("block1", "block2", "block3")
"""Outputs of dense blocks 1-3, before transition; at 224 px 256x56x56, 512x28x28, 1024x14x14."""

FINAL = "final"
"""relu(norm5), the last feature map: 1024x7x7 at 224 px."""

_MODULE_OF_TAP = {"block1": "denseblock1", "block2": "denseblock2", "block3": "denseblock3"}
_CELL = {"block1": 4, "block2": 8, "block3": 16, FINAL: 32}  # pixels from one cell to the next
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class DenseNet121(DenseNet):
    """DenseNet121 with ``num_outputs`` logits and named places to cut it in two."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__(
            growth_rate=32,
            block_config=(6, 12, 24, 16),
            num_init_features=64,
            num_classes=num_outputs,
        )
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)

    @property
    def num_outputs(self) -> int:
        return self.classifier.out_features

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, C) of normalised images (N, 3, H, W); sides of at least 32 px."""
        return self._head(self.final_feature_map(images))

    def final_feature_map(self, images: Tensor) -> Tensor:
        """relu(norm5): (N, 1024, H/32, W/32)."""
        return self.relu(self.features(images))

    def forward_to(self, tap: str, images: Tensor) -> Tensor:
        """The feature map at ``tap`` (one of TAPS or FINAL); runs nothing that follows it."""
        return self.forward_to_all((tap,), images)[tap]

    def forward_to_all(self, taps: Sequence[str], images: Tensor) -> dict[str, Tensor]:
        """The feature maps at several taps in one pass, which ends at the last of them."""
        feature_maps = {}
        start, features = 0, images
        for end, tap in sorted((self._end(tap), tap) for tap in taps):
            features = self.features[start:end](features)
            start = end
            feature_maps[tap] = self.relu(features) if tap == FINAL else features
        return feature_maps

    def forward_from(self, tap: str, feature_map: Tensor) -> Tensor:
        """Logits (N, C) from the feature map at ``tap``; runs only what follows it."""
        if tap == FINAL:
            return self._head(feature_map)
        return self._head(self.relu(self.features[self._end(tap) :](feature_map)))

    @staticmethod
    def cell_centres(tap: str) -> tuple[float, float]:
        """(first, step): the receptive field of cell k is centred on pixel first + k step, from 0.

        conv0 and pool0 pad by half of their kernel, so cell k of block 1 is centred on pixel 4 k;
        each transition averages two cells, and their centre lies between them. An even spread over
        the image would draw every cell 1.5 px further down and to the right.
        """
        step = _CELL[tap]
        return (step - 4) / 2, float(step)

    def _head(self, final_feature_map: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.pool(final_feature_map), 1))

    def _end(self, tap: str) -> int:
        if tap == FINAL:
            return len(self.features)
        if tap not in _MODULE_OF_TAP:
            raise ValueError(f"unknown tap {tap!r}: choose one of {', '.join((*TAPS, FINAL))}")
        names = [name for name, _ in self.features.named_children()]
        return names.index(_MODULE_OF_TAP[tap]) + 1


class SeverityRegressor(DenseNet121):
    """The same network with one output that is never negative: relu(linear), (N, 1).

    The head's keys are `classifier.0.*`, as in the published regression checkpoints.
    """

    def __init__(self) -> None:
        super().__init__(num_outputs=1)
        self.classifier = nn.Sequential(self.get_submodule("classifier"), nn.ReLU())

    @property
    def num_outputs(self) -> int:
        return 1


def normalise(films: Tensor) -> Tensor:
    """ImageNet-normalised float32 images (N, 3, H, W) of grey uint8 films (N, H, W).

    Raises ValueError for another dtype or shape: a film scaled before would pass unnoticed.
    """
    if films.dtype != torch.uint8 or films.ndim != 3:
        raise ValueError(
            f"films must be uint8 of shape (N, H, W), not {films.dtype} of {tuple(films.shape)}"
        )
    mean = torch.tensor(IMAGENET_MEAN, device=films.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=films.device).view(1, 3, 1, 1)
    return (films.unsqueeze(1).float().div(255) - mean) / std
