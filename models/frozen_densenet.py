"""A trained DenseNet121 rearranged for explaining it: the same outputs up to rounding, faster.

Rearranged are, without a change of the function:
- a batch norm behind a convolution is folded into it;
- each dense block writes into one buffer, in place of a concatenation for each layer;
- a transition averages before its 1x1 convolution, not after: both are linear, and the convolution
  then has a quarter of the positions;
- 1x1 convolutions are matrix products of channels-last rows, and the gradient is taken in the input
  alone, by a backward pass written out for a block.

Feature maps are (N, H, W, C) inside, and channels-last (N, C, H, W) at the taps. It computes in the
type of its weights, whatever autocast says: its backward pass writes into buffers of that type.

In bfloat16 the weights are cast once, after they were folded. Matrix products and convolutions
round their results, not their sums. The last average and the classifier stay in the model's own
type: a logit in bfloat16 would hide small changes of the score.
"""

import copy
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from models.densenet import FINAL, TAPS, DenseNet121

P = ParamSpec("P")
T = TypeVar("T")


def _without_autocast(compute: Callable[P, T]) -> Callable[P, T]:
    """``compute(self or ctx, ...)`` with autocast off on the device of its tensor argument."""

    @wraps(compute)
    def in_own_type(*args: P.args, **kwargs: P.kwargs) -> T:
        given = (*args, *kwargs.values())
        tensor = next(value for value in given if isinstance(value, Tensor))
        with torch.autocast(tensor.device.type, enabled=False):
            return compute(*args, **kwargs)

    return in_own_type


class Affine(NamedTuple):
    """A batch norm in evaluation mode: x scale + shift, (C,) each."""

    scale: Tensor
    shift: Tensor

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "Affine":
        assert norm.running_mean is not None  # DenseNet's batch norms track their statistics
        assert norm.running_var is not None
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        shift = norm.bias.double() - norm.running_mean.double() * scale
        return cls(scale.to(norm.weight), shift.to(norm.weight))


class _Layer(NamedTuple):
    """relu(norm) -> 1x1 (``down``, with the second norm in it) -> relu -> 3x3 (``conv``)."""

    norm: Affine
    down: Tensor  # (128, C)
    bias: Tensor  # (128,)
    down_scaled: Tensor  # (128, C): times the first norm's scale, for the way back
    conv: Tensor  # (32, 128, 3, 3)
    conv_back: Tensor  # (128, 32, 3, 3): flipped and transposed

    @classmethod
    def of(cls, layer: Any) -> "_Layer":
        first, second = Affine.of(layer.norm1), Affine.of(layer.norm2)
        down = layer.conv1.weight[:, :, 0, 0] * second.scale[:, None]
        last = torch.channels_last
        return cls(
            norm=first,
            down=down,
            bias=second.shift,
            down_scaled=down * first.scale,
            conv=layer.conv2.weight.clone(memory_format=last),
            conv_back=layer.conv2.weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=last),
        )


class _Block(torch.autograd.Function):
    """A dense block on (N, H, W, C); the gradient is that in its input."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layers: Sequence[_Layer]) -> Tensor:
        growth, start = len(layers[0].conv), inputs.shape[3]
        buffer = inputs.new_empty(*inputs.shape[:3], start + growth * len(layers))
        buffer[..., :start] = inputs
        rows = buffer.view(-1, buffer.shape[3])
        scratch = inputs.new_empty(rows.numel())
        narrow = []
        for number, layer in enumerate(layers):
            end = start + number * growth
            active = scratch[: len(rows) * end].view(-1, end)
            torch.addcmul(layer.norm.shift, rows[:, :end], layer.norm.scale, out=active).relu_()
            hidden = torch.addmm(layer.bias, active, layer.down.T).relu_()
            hidden = hidden.view(*inputs.shape[:3], -1)
            buffer[..., end : end + growth] = _conv3x3(hidden, layer.conv)
            if ctx.needs_input_grad[0]:
                narrow.append(hidden)
        if ctx.needs_input_grad[0]:
            ctx.layers = layers
            ctx.save_for_backward(buffer, *narrow)
        return buffer

    @staticmethod
    @once_differentiable
    @_without_autocast
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        buffer, *narrow = ctx.saved_tensors
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        rows, of_rows = buffer.view(-1, buffer.shape[3]), gradient.view(-1, buffer.shape[3])
        first, second = (torch.empty_like(rows).view(-1) for _ in range(2))
        growth = len(ctx.layers[0].conv)
        end = buffer.shape[3]
        for layer, hidden in zip(reversed(ctx.layers), reversed(narrow), strict=True):
            end -= growth
            back = _conv3x3(gradient[..., end : end + growth].contiguous(), layer.conv_back)
            back = _where_positive(back, hidden).reshape(len(rows), -1)
            wide = torch.mm(back, layer.down_scaled, out=first[: len(rows) * end].view(-1, end))
            active = second[: len(rows) * end].view(-1, end)
            # Computed again: to store it would cost as much time, and many times the memory.
            torch.addcmul(layer.norm.shift, rows[:, :end], layer.norm.scale, out=active)
            of_rows[:, :end] += _where_positive(wide, active)
        return gradient[..., :end], None


class _PooledActivation(torch.autograd.Function):
    """relu(norm(x)) of (N, H, W, C), averaged over windows of (h, w): (N, H // h, W // w, C)."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, norm: Affine, window: tuple[int, int]) -> Tensor:
        if ctx.needs_input_grad[0]:
            ctx.norm, ctx.window = norm, window
            ctx.save_for_backward(inputs)
        active = torch.addcmul(norm.shift, inputs, norm.scale).relu_()
        return F.avg_pool2d(active.permute(0, 3, 1, 2), window).permute(0, 2, 3, 1)

    @staticmethod
    @once_differentiable
    @_without_autocast
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (inputs,) = ctx.saved_tensors
        height, width = ctx.window
        num, high, wide, channels = gradient.shape
        per_pixel = gradient * (ctx.norm.scale / (height * width))
        active = torch.addcmul(ctx.norm.shift, inputs, ctx.norm.scale)
        inside = active[:, : high * height, : wide * width]  # the rest fills no window
        windows = inside.unflatten(1, (high, height)).unflatten(3, (wide, width))
        back = _where_positive(per_pixel[:, :, None, :, None].expand_as(windows), windows)
        back = back.reshape(num, high * height, wide * width, channels)
        rest = (0, 0, 0, inputs.shape[2] - back.shape[2], 0, inputs.shape[1] - back.shape[1])
        return F.pad(back, rest) if any(rest) else back, None, None


def _conv3x3(rows: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(rows.permute(0, 3, 1, 2), weight, padding=1).permute(0, 2, 3, 1)


def _where_positive(gradient: Tensor, values: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward(gradient, values, 0)


class FrozenDenseNet(nn.Module):
    """The outputs of ``model`` in evaluation mode, as a TappedModel of attribution.base.

    A copy: later changes of ``model`` do not reach it. Gradients are those in the images or in a
    feature map, once; its modules are not the network's layers, so LRP cannot walk through it.
    ``dtype``: of the dense blocks, with what lies before and between them; the model's own if not
    given.
    """

    concurrent = True  # a forward remembers nothing: threads may call it at the same time
    cell_centres = staticmethod(DenseNet121.cell_centres)

    def __init__(self, model: DenseNet121, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        features = model.features
        own = features.conv0.weight.dtype
        with torch.no_grad():
            stem = Affine.of(features.norm0)
            enter = (
                (features.conv0.weight * stem.scale[:, None, None, None]).contiguous(
                    memory_format=torch.channels_last
                ),
                stem.shift,
            )
            blocks = [
                [_Layer.of(layer) for layer in features.get_submodule(f"denseblock{k}").children()]
                for k in range(1, 5)
            ]
            transitions = [features.get_submodule(f"transition{k}") for k in range(1, 4)]
            between = [
                (Affine.of(each.norm), each.conv.weight[:, :, 0, 0].clone()) for each in transitions
            ]
            cast = _cast((enter, blocks, between), dtype or own)
            self._stem, self._blocks, self._transitions = cast
            self._final = Affine.of(features.norm5)
        self._classifier = copy.deepcopy(model.classifier).eval().requires_grad_(False)

    @_without_autocast
    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, C) of normalised images (N, 3, H, W)."""
        return self._tail(0, self._enter(images))

    def forward_to(self, tap: str, images: Tensor) -> Tensor:
        """The feature map at ``tap`` (one of TAPS or FINAL); runs nothing that follows it."""
        return self.forward_to_all((tap,), images)[tap]

    @_without_autocast
    def forward_to_all(self, taps: Sequence[str], images: Tensor) -> dict[str, Tensor]:
        """The feature maps at several taps in one pass, which ends at the last of them."""
        last = max(_position(tap) for tap in taps)
        found = {}
        rows = self._enter(images)
        for number in range(min(last, 4)):
            rows = found[number + 1] = self._block(number, rows)
        if last == _position(FINAL):
            found[last] = self._pooled(rows, (1, 1))
        return {tap: found[_position(tap)].permute(0, 3, 1, 2) for tap in taps}

    @_without_autocast
    def forward_from(self, tap: str, feature_map: Tensor) -> Tensor:
        """Logits (N, C) from the feature map at ``tap``; runs only what follows it."""
        dtype = (self._final.scale if tap == FINAL else self._stem[0]).dtype
        rows = feature_map.to(dtype).permute(0, 2, 3, 1).contiguous()
        if tap == FINAL:
            return self._classifier(rows.mean((1, 2)))
        return self._tail(_position(tap), rows)

    def _enter(self, images: Tensor) -> Tensor:
        weight, bias = self._stem
        images = images.to(weight.dtype).contiguous(memory_format=torch.channels_last)
        active = F.conv2d(images, weight, bias, stride=2, padding=3).relu_()
        return F.max_pool2d(active, 3, stride=2, padding=1).permute(0, 2, 3, 1)

    def _block(self, number: int, rows: Tensor) -> Tensor:
        """Dense block ``number`` (from 0), with the transition before it."""
        if number > 0:
            norm, weight = self._transitions[number - 1]
            rows = F.linear(_PooledActivation.apply(rows, norm, (2, 2)), weight)
        return _Block.apply(rows, self._blocks[number])

    def _tail(self, done: int, rows: Tensor) -> Tensor:
        for number in range(done, 4):
            rows = self._block(number, rows)
        return self._classifier(self._pooled(rows, tuple(rows.shape[1:3])).flatten(1))

    def _pooled(self, rows: Tensor, window: tuple[int, ...]) -> Any:
        return _PooledActivation.apply(rows.to(self._final.scale.dtype), self._final, window)


def _cast(weights: Any, dtype: torch.dtype) -> Any:
    """The same tuples and lists with their tensors in ``dtype``."""
    if isinstance(weights, Tensor):
        return weights.to(dtype)
    parts = [_cast(each, dtype) for each in weights]
    return type(weights)(*parts) if hasattr(weights, "_fields") else type(weights)(parts)


def _position(tap: str) -> int:
    """1-4: behind so many dense blocks; 5: the end."""
    places = {tap: number for number, tap in enumerate(TAPS, 1)} | {FINAL: 5}
    if tap not in places:
        raise ValueError(f"unknown tap {tap!r}: choose one of {', '.join(places)}")
    return places[tap]
