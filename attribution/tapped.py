"""Any nn.Module with a named layer, cut in two there: a model of one's own to explain.

model = TappedModule(resnet50)
statistics = estimate_statistics(model, "layer3", batches, StatisticsConfig())
IBA(IBAConfig(tap="layer3"), statistics)(model, images, targets, score=..., seeds=...)
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from torch import Tensor, fx, nn

from attribution.base import frozen


class TappedModule(nn.Module):
    """A model whose taps are the names of its layers, as ``named_modules`` gives them.

    Behind a tap only what follows the layer runs, where torch.fx can trace the model and all that
    follows needs nothing but the layer's output. Everywhere else, and with ``split=False``, the
    whole model runs on the images of the last ``forward_to`` with the layer's output replaced: the
    same result, slower. A tapped layer runs once in a forward and returns one tensor; ValueError
    names one that does not.
    """

    def __init__(self, model: nn.Module, *, split: bool = True) -> None:
        super().__init__()
        self.model = model
        self.split = split
        self._tails: dict[str, Callable[[Tensor], Any] | None] = {}
        self._images: Tensor | None = None

    def forward(self, images: Tensor) -> Any:
        return self.model(images)

    def forward_to(self, tap: str, images: Tensor) -> Tensor:
        """The output of the layer ``tap``; runs nothing that follows it."""
        return self.forward_to_all((tap,), images)[tap]

    def forward_to_all(self, taps: Sequence[str], images: Tensor) -> dict[str, Tensor]:
        """The outputs of several layers in one pass, which ends at the last of them."""
        self._images = images
        found: dict[str, Tensor] = {}

        def keeper(tap: str) -> Callable[[nn.Module, Any, Tensor], None]:
            def keep(layer: nn.Module, args: Any, output: Tensor) -> None:
                if not isinstance(output, Tensor):
                    raise ValueError(f"the layer {tap!r} returns a {type(output).__name__}")
                found[tap] = output.clone()  # what follows may change it in place
                if len(found) == len(set(taps)):
                    raise _AllFound

            return keep

        with ExitStack() as hooks, suppress(_AllFound):
            for tap in taps:
                hooks.enter_context(self._layer(tap).register_forward_hook(keeper(tap)))
            self.model(images)
            missing = ", ".join(sorted(set(taps) - set(found)))
            raise ValueError(f"the model has run without its layer(s) {missing}")
        return found

    def forward_from(self, tap: str, feature_map: Tensor) -> Any:
        """Outputs (N K, C) of feature maps (N K, C, h, w), K of each image in a row.

        The images are those of the last ``forward_to``.
        """
        tail = self.tail(tap)
        if tail is not None:
            return tail(feature_map.clone())  # a tail may begin in place
        return self._replace(tap, feature_map)

    def tail(self, tap: str) -> Callable[[Tensor], Any] | None:
        """What follows the layer, as a function of its output; None where it cannot be split."""
        if tap not in self._tails:
            self._layer(tap)
            self._tails[tap] = _split(self.model, tap) if self.split else None
        return self._tails[tap]

    def _layer(self, tap: str) -> nn.Module:
        layers = dict(self.model.named_modules())
        if not tap or tap not in layers:
            raise ValueError(
                f"the model has no layer {tap!r}; on its first level are "
                f"{', '.join(name for name, _ in self.model.named_children())}"
            )
        return layers[tap]

    def _replace(self, tap: str, feature_map: Tensor) -> Any:
        if self._images is None or len(feature_map) % len(self._images):
            raise ValueError(
                f"{len(feature_map)} feature maps do not belong to the "
                f"{0 if self._images is None else len(self._images)} images of the last forward_to"
            )
        runs = 0

        def replace(layer: nn.Module, args: Any, output: Tensor) -> Tensor:
            nonlocal runs
            runs += 1
            if output.shape != feature_map.shape:
                raise ValueError(
                    f"feature maps of shape {tuple(feature_map.shape)} cannot replace the layer "
                    f"{tap!r}'s output of shape {tuple(output.shape)}"
                )
            return feature_map.clone()

        images = self._images.repeat_interleave(len(feature_map) // len(self._images), 0)
        with self._layer(tap).register_forward_hook(replace):
            outputs = self.model(images)
        if runs != 1:
            raise ValueError(f"the layer {tap!r} runs {runs} times in a forward, not once")
        return outputs


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
