"""Relevance handed from a model's outputs back to a tensor inside it, layer by layer.

Every layer shares the relevance of its outputs among its inputs by a rule (Bach et al. 2015;
Montavon et al. 2017). The rules stand in for the layers' gradients while autograd walks back, so
concatenations and max pools need none: their own gradient hands relevance on exactly.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attribution.base import TappedModel
from attribution.layers import ROUTING, check_full_precision, operations

Rule = Callable[[nn.Module, Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""(layer, its input (N, ...), relevance of its output, epsilon) -> relevance of the input, and (N,)
what the layer's bias kept. The epsilon keeps a quotient finite."""

_HANDED_ON = ROUTING | {"_RuleBackward"}


class Relevance(NamedTuple):
    inputs: Tensor  # as the inputs
    absorbed: Tensor  # (N,), kept by biases
    start: Tensor  # (N, C), what was handed to the outputs
    outputs: Tensor  # (N, C)


def pass_on(
    layer: nn.Module, inputs: Tensor, relevance: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Each input gets its output's: activations, and batch normalisation before one."""
    return relevance, relevance.new_zeros(len(relevance))


def by_contribution(
    layer: nn.Module, inputs: Tensor, relevance: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Inputs share by their contribution to the output, of either sign; so does the bias."""
    leaf = inputs.detach().requires_grad_()
    with torch.enable_grad():
        outputs: Tensor = layer.forward(leaf)
    quotient = relevance / _away_from_zero(outputs.detach(), epsilon)
    (gradient,) = torch.autograd.grad(outputs, leaf, quotient)
    bias = getattr(layer, "bias", None)
    absorbed = quotient * bias.detach() if bias is not None else torch.zeros_like(quotient)
    return leaf.detach() * gradient, absorbed.flatten(1).sum(1)


def by_positive_contribution(
    layer: nn.Module, inputs: Tensor, relevance: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """z+ (alpha1-beta0): only contributions that raise the output share; a bias gets nothing."""
    positive = inputs.detach().clamp(min=0).requires_grad_()
    negative = inputs.detach().clamp(max=0).requires_grad_()
    weight = layer.get_parameter("weight")
    with torch.enable_grad():
        outputs = _weighted_sum(layer, positive, weight.clamp(min=0))
        if negative.any():  # behind a ReLU there is nothing
            outputs = outputs + _weighted_sum(layer, negative, weight.clamp(max=0))
    quotient = relevance / (outputs.detach() + epsilon)
    of_positive, of_negative = torch.autograd.grad(
        outputs, (positive, negative), quotient, materialize_grads=True
    )
    shares = positive.detach() * of_positive + negative.detach() * of_negative
    return shares, relevance.new_zeros(len(relevance))


def evenly(
    layer: nn.Module, inputs: Tensor, relevance: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Flat: all inputs that an output sees get the same, whatever their value and weight."""
    leaf = torch.ones_like(inputs).requires_grad_()
    with torch.enable_grad():
        outputs = _weighted_sum(layer, leaf, torch.ones_like(layer.get_parameter("weight")))
    (gradient,) = torch.autograd.grad(outputs, leaf, relevance / outputs.detach())
    return gradient, relevance.new_zeros(len(relevance))


def propagate(
    model: TappedModel,
    function: Callable[[Tensor], Tensor],
    inputs: Tensor,
    start: Callable[[Tensor], Tensor],
    rules: Mapping[type[nn.Module], Rule],
    *,
    first: Rule | None = None,
    epsilon: float,
) -> Relevance:
    """Relevance of ``inputs`` (N, ...) for ``function`` of them, which runs layers of ``model``.

    start: outputs (N, C) -> their relevance; rules by type of layer; first: the rule of the
    convolution that reads ``inputs`` themselves, where they may be negative.
    Raises ValueError for an operation without a rule, naming it, and for weights in half precision:
    nothing is propagated wrongly.
    """
    check_full_precision(model)
    leaf = inputs.detach().clone().requires_grad_()
    absorbed = inputs.new_zeros(len(inputs))

    def rule_of(layer: nn.Module, layer_inputs: Tensor) -> Rule | None:
        if first is not None and layer_inputs is leaf and isinstance(layer, nn.Conv2d):
            return first
        return next((rule for kind, rule in rules.items() if isinstance(layer, kind)), None)

    def hook(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        rule = rule_of(layer, args[0])
        if rule is None:
            return None

        def share(relevance: Tensor) -> Tensor:
            found, kept = rule(layer, args[0].detach(), relevance, epsilon)
            absorbed.add_(kept)
            return found

        return _Rule.apply(args[0], output.detach(), share)

    with _hooked(model, hook), torch.enable_grad():
        outputs = function(leaf)
        _check_operations(outputs)
        relevance = start(outputs.detach())
        (found,) = torch.autograd.grad(outputs, leaf, relevance)
    return Relevance(found, absorbed, relevance, outputs.detach())


class _Rule(torch.autograd.Function):
    """A layer's output, with the layer's rule where its gradient would be."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, output: Tensor, share: Callable[[Tensor], Tensor]
    ) -> Tensor:
        ctx.share = share
        return output.clone()  # a view may not be changed in place by what follows

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.share(gradients[0]), None, None


@contextmanager
def _hooked(model: TappedModel, hook: Callable[..., Tensor | None]) -> Iterator[None]:
    layers = [module for module in model.modules() if not list(module.children())]
    # A rule needs the layer's input, which a layer in place overwrites.
    in_place = [layer for layer in layers if getattr(layer, "inplace", False)]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        for layer in in_place:
            layer.inplace = False  # type: ignore[assignment]
        yield
    finally:
        for layer in in_place:
            layer.inplace = True  # type: ignore[assignment]
        for handle in handles:
            handle.remove()


def _check_operations(outputs: Tensor) -> None:
    for name in operations(outputs):
        if name not in _HANDED_ON:
            raise ValueError(
                f"no relevance rule for {name}: the model must "
                "run convolutions, linear layers, batch normalisation, ReLU and pooling as "
                "modules, and may concatenate but not add feature maps "
                "(models.densenet.DenseNet121 is such a model)"
            )


def _weighted_sum(layer: nn.Module, inputs: Tensor, weight: Tensor) -> Tensor:
    if isinstance(layer, nn.Conv2d):
        return layer._conv_forward(inputs, weight, None)
    return F.linear(inputs, weight)


def _away_from_zero(values: Tensor, epsilon: float) -> Tensor:
    return values + epsilon * torch.where(values < 0, -1.0, 1.0)
