"""Any nn.Module with a named layer, cut in two there: a model of one's own to explain.

model = TappedModule(resnet50)
statistics = estimate_statistics(model, "layer3", batches, StatisticsConfig())
IBA(IBAConfig(tap="layer3"), statistics)(model, images, targets, score=..., seeds=...)
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor, fx, nn

from attribution.base import frozen
from attribution.layout import ORDERS, Layout, readings


class TappedModule(nn.Module):
    """A model whose taps are the names of its layers, as ``named_modules`` gives them.

    Behind a tap only what follows the layer runs, where torch.fx can trace the model and all that
    follows needs nothing but the layer's output. Everywhere else, and with ``split=False``, the
    whole model runs on the images of the last ``forward_to`` with the layer's output replaced: the
    same result, slower. A tapped layer runs once in a forward and returns one tensor, alone or as
    the first of a tuple; ValueError names one that does not.

    Whatever the layer's own layout, its feature map is (N, C, h, w). ``layout`` says how it lies:
    one of layout.ORDERS, or a Layout; by default it follows from the shape and, where that leaves a
    doubt, from the layers beside the tap, else ValueError. Tokens before the first place (class
    token, registers) are kept in ``prefix_tokens`` by tap, (N, C, k) of the last ``forward_to``.

    The model gets images in the type of its weights, and gives outputs (N, C): a tensor, the only
    one of its kind in a tuple, or ``logits`` of a dictionary or an object. (N,) is one output.
    """

    def __init__(
        self, model: nn.Module, *, split: bool = True, layout: str | Layout | None = None
    ) -> None:
        super().__init__()
        if isinstance(layout, str) and layout not in ORDERS:
            raise ValueError(f"layout: {layout!r} is none of {', '.join(ORDERS)}")
        self.model = model
        self.split = split
        self.layout = layout
        self.prefix_tokens: dict[str, Tensor] = {}
        self._layouts: dict[str, Layout] = {}
        self._found: dict[tuple[Any, ...], Layout] = {}
        self._tails: dict[str, Callable[[Tensor], Any] | None] = {}
        self._images: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        return outputs_of(self._run(images), len(images))

    def forward_to(self, tap: str, images: Tensor) -> Tensor:
        """The feature map (N, C, h, w) of the layer ``tap``; runs nothing that follows it."""
        return self.forward_to_all((tap,), images)[tap]

    def forward_to_all(self, taps: Sequence[str], images: Tensor) -> dict[str, Tensor]:
        """The feature maps of several layers in one pass, which ends at the last of them."""
        self._images = images
        found: dict[str, Tensor] = {}

        def keeper(tap: str) -> Callable[[nn.Module, Any, Any], None]:
            def keep(layer: nn.Module, args: Any, output: Any) -> None:
                if isinstance(output, tuple) and output:
                    output = output[0]
                if not isinstance(output, Tensor):
                    raise ValueError(f"the layer {tap!r} returns a {type(output).__name__}")
                found[tap] = output.clone()  # what follows may change it in place
                if len(found) == len(set(taps)):
                    raise _AllFound

            return keep

        with ExitStack() as hooks, suppress(_AllFound):
            for tap in taps:
                hooks.enter_context(self._layer(tap).register_forward_hook(keeper(tap)))
            self._run(images)
            missing = ", ".join(sorted(set(taps) - set(found)))
            raise ValueError(f"the model has run without its layer(s) {missing}")
        return {tap: self._as_map(tap, output, images) for tap, output in found.items()}

    def forward_from(
        self, tap: str, feature_map: Tensor, prefix_tokens: Tensor | None = None
    ) -> Tensor:
        """Outputs (N K, C) of feature maps (N K, C, h, w), K of each image in a row.

        The images are those of the last ``forward_to``, and so are the tokens before the map, or
        they are ``prefix_tokens`` (C, k) for all images.
        """
        output = feature_map
        if tap in self._layouts:
            tokens = self.prefix_tokens.get(tap)
            if tokens is not None:
                tokens = tokens if prefix_tokens is None else prefix_tokens.expand(tokens.shape)
                tokens = tokens.repeat_interleave(len(feature_map) // len(tokens), 0)
            output = self._layouts[tap].from_map(feature_map, tokens)
        tail = self.tail(tap)
        if tail is not None:
            outputs = tail(output.clone())  # a tail may begin in place
        else:
            outputs = self._replace(tap, output, len(feature_map))
        return outputs_of(outputs, len(feature_map))

    def tail(self, tap: str) -> Callable[[Tensor], Any] | None:
        """What follows the layer, as a function of its output; None where it cannot be split."""
        if tap not in self._tails:
            self._layer(tap)
            self._tails[tap] = _split(self.model, tap) if self.split else None
        return self._tails[tap]

    def _run(self, images: Tensor) -> Any:
        own = next((w.dtype for w in self.model.parameters() if w.is_floating_point()), None)
        return self.model(images.to(own))

    def _as_map(self, tap: str, output: Tensor, images: Tensor) -> Tensor:
        key = (tap, output.shape[1:], images.shape[1:])
        if key not in self._found:
            self._found[key] = self._layout_of(tap, output.shape, images)
        self._layouts[tap] = self._found[key]
        feature_map, tokens = self._layouts[tap].to_map(output)
        self.prefix_tokens.pop(tap, None)
        if tokens is not None:
            self.prefix_tokens[tap] = tokens
        return feature_map

    def _layout_of(self, tap: str, shape: Sequence[int], images: Tensor) -> Layout:
        doubt = "no reading of which"
        if isinstance(self.layout, Layout):
            found = [self.layout] if self.layout.holds(shape, len(images)) else []
        else:
            found = readings(shape, images.shape)
            if len(shape) == 4 and (self.layout or not found):
                sizes = [(order, dict(zip(order, shape, strict=True))) for order in ORDERS[:2]]
                found = [Layout(order, (size["H"], size["W"])) for order, size in sizes]
            if self.layout:
                found = [layout for layout in found if layout.order == self.layout]
            elif len(found) > 1 or [layout.order for layout in found] == ["NCT"]:
                doubt = "of which several readings"
                found = self._told_by_neighbours(tap, shape, images, found)
        if len(found) != 1:
            raise ValueError(
                f"the layer {tap!r} gives {tuple(shape)} for images {tuple(images.shape)}, "
                f"{doubt} fit {self.layout or 'as a feature map'}: name its axes, layout='NCHW', "
                "'NHWC' or 'NTC' (tokens), or its grid too, attribution.layout.Layout('NTC', "
                "grid=(h, w), prefix=1); or take another layer"
            )
        return found[0]

    def _told_by_neighbours(
        self, tap: str, shape: Sequence[int], images: Tensor, candidates: list[Layout]
    ) -> list[Layout]:
        """The candidates whose channels are those of the layers that run before and after the tap;
        none where these contradict each other or say nothing."""
        before: tuple[int, Sequence[int]] | None = None
        after: tuple[int, Sequence[int]] | None = None
        passed = False

        def note(layer: nn.Module, args: Any, output: Any) -> None:
            nonlocal before, after
            axis = 1 if isinstance(layer, _CHANNELS_FIRST) else -1
            if not passed:
                before = axis, output.shape
            elif after is None and args:
                after = axis, args[0].shape

        def reach(layer: nn.Module, args: Any, output: Any) -> None:
            nonlocal passed
            passed = True

        with ExitStack() as hooks, torch.no_grad():
            for layer in self.model.modules():
                if isinstance(layer, _CHANNELS_FIRST) or type(layer) in _CHANNELS_LAST:
                    hooks.enter_context(layer.register_forward_hook(note))
            hooks.enter_context(self._layer(tap).register_forward_hook(reach))
            self._run(images)
        told = False
        for neighbour in (before, after):
            if neighbour is None:
                continue
            axis, of_layer = neighbour
            agreeing = [
                layout
                for layout in candidates
                if (
                    layout.order.index("C") == axis % len(shape)
                    if of_layer == shape
                    else layout.sizes(shape)["C"] == of_layer[axis]
                )
            ]
            told = told or bool(agreeing)
            contradicted = not agreeing and of_layer == shape
            candidates = agreeing if agreeing or contradicted else candidates
        return candidates if told else []

    def _layer(self, tap: str) -> nn.Module:
        layers = dict(self.model.named_modules())
        if not tap or tap not in layers:
            raise ValueError(
                f"the model has no layer {tap!r}; on its first level are "
                f"{', '.join(name for name, _ in self.model.named_children())}"
            )
        return layers[tap]

    def _replace(self, tap: str, replacement: Tensor, count: int) -> Any:
        if self._images is None or count % len(self._images):
            raise ValueError(
                f"{count} feature maps do not belong to the "
                f"{0 if self._images is None else len(self._images)} images of the last forward_to"
            )
        runs = 0

        def replace(layer: nn.Module, args: Any, output: Any) -> Any:
            nonlocal runs
            runs += 1
            replaced = output[0] if isinstance(output, tuple) else output
            if replaced.shape != replacement.shape:
                raise ValueError(
                    f"feature maps of shape {tuple(replacement.shape)} cannot replace the layer "
                    f"{tap!r}'s output of shape {tuple(replaced.shape)}"
                )
            own = replacement.clone()
            return (own, *output[1:]) if isinstance(output, tuple) else own

        images = self._images.repeat_interleave(count // len(self._images), 0)
        with self._layer(tap).register_forward_hook(replace):
            outputs = self._run(images)
        if runs != 1:
            raise ValueError(f"the layer {tap!r} runs {runs} times in a forward, not once")
        return outputs


def outputs_of(result: Any, num_rows: int) -> Tensor:
    """The outputs (N, C), of what a model returns for ``num_rows`` rows; ValueError where there are
    none or several."""
    found = getattr(result, "logits", result)
    if isinstance(found, Mapping):
        tensors = [value for value in found.values() if isinstance(value, Tensor)]
        if "logits" in found or len(tensors) == 1:
            found = found["logits"] if "logits" in found else tensors[0]
    elif isinstance(found, tuple | list):
        rows = [value for value in found if isinstance(value, Tensor) and value.ndim <= 2]
        found = rows[0] if len(rows) == 1 else found
    if not isinstance(found, Tensor):
        held = f" of {', '.join(map(str, found))}" if isinstance(found, Mapping) else ""
        raise ValueError(
            f"the model returns a {type(found).__name__}{held}, in which its outputs (N, C) are "
            "not told from the rest: wrap it in a module that returns them alone"
        )
    if found.ndim <= 1 and num_rows == 1:
        found = found.view(1, -1)  # squeezed by the model
    elif found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or len(found) != num_rows or not found.is_floating_point():
        raise ValueError(
            f"the model returns {found.dtype} {tuple(found.shape)} for {num_rows} image(s), but "
            "outputs are floating-point (N, C), a row of scores for each image"
        )
    return found


_CHANNELS_FIRST = (
    *(nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm),
    *(nn.MaxPool2d, nn.AvgPool2d),
)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm)  # not what inherits: timm's LayerNorm2d is of the others


class _AllFound(Exception):
    """Ends a forward whose rest nobody needs."""


def _split(model: nn.Module, tap: str) -> fx.GraphModule | None:
    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return name == tap or super().is_leaf_module(module, name)

    try:
        with frozen(model):
            graph = Tracer().trace(model)
    except Exception:  # tracing runs foreign code on stand-ins: it fails in as many ways
        return None
    layers = [node for node in graph.nodes if node.op == "call_module" and node.target == tap]
    if len(layers) != 1:
        return None
    (layer,) = layers
    if any(user.target is operator.getitem and user.args[1] == 0 for user in layer.users):
        return None  # the first of a tuple: what is replaced is not all of the output
    with graph.inserting_before(layer):
        feature_map = graph.placeholder("feature_map")
    layer.replace_all_uses_with(feature_map)
    before = list(graph.nodes)
    # Not graph.eliminate_dead_code, which drops what follows in place and returns nothing.
    for node in reversed(before[: before.index(layer) + 1]):
        if node is not feature_map and not node.users:
            graph.erase_node(node)
    if [node for node in graph.nodes if node.op == "placeholder"] != [feature_map]:
        return None
    return fx.GraphModule(model, graph)
