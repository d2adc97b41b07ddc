"""The attribution methods by name: what a configuration can ask for."""

from collections.abc import Mapping
from typing import Any

from attribution.base import AttributionMethod
from attribution.cams import EigenCAM, GradCAM, GradCAMPlusPlus, LayerCAM
from attribution.captum_methods import InputXGradient, Occlusion
from attribution.config import OWN_METHODS, AttributionConfig, MultilayerIBAConfig, required_taps
from attribution.excitation_backprop import ExcitationBackprop
from attribution.gradient import Gradient, SmoothGrad
from attribution.iba import IBA, InverseIBA
from attribution.integrated_gradients import IntegratedGradients
from attribution.lrp import LRP
from attribution.modified_backprop import DeepLift, GuidedBackprop
from attribution.multilayer_iba import MultilayerIBA
from attribution.random_map import RandomMap
from attribution.regression_iba import MSEIBA, DeviationIBA, MaximisingIBA
from attribution.rise import RISE
from attribution.statistics import FeatureStatistics

METHODS: dict[str, type] = {
    "gradient": Gradient,
    "grad_cam": GradCAM,
    "integrated_gradients": IntegratedGradients,
    "lrp": LRP,
    "excitation_backprop": ExcitationBackprop,
    "grad_cam_plus_plus": GradCAMPlusPlus,
    "layer_cam": LayerCAM,
    "eigen_cam": EigenCAM,
    "occlusion": Occlusion,
    "rise": RISE,
    "smooth_grad": SmoothGrad,
    "input_x_gradient": InputXGradient,
    "deep_lift": DeepLift,
    "guided_backprop": GuidedBackprop,  # a negative control: it hardly depends on the weights
    "random": RandomMap,
    "iba": IBA,
    "iba_block1": IBA,
    "iba_block2": IBA,
    "inverse_iba": InverseIBA,
    "multilayer_iba": MultilayerIBA,
    "regression_iba_mse": MSEIBA,
    "regression_iba_rm": MaximisingIBA,
    "regression_iba_dv": DeviationIBA,
}
"""A new method: a class of AttributionMethod's shape here, its settings in AttributionConfig under
the same name."""

NEEDS_LAYERS = frozenset({"lrp", "excitation_backprop", "deep_lift", "guided_backprop"})
"""Methods that walk through a network's own layers; the others ask nothing but a TappedModel."""


def register_method(name: str, method: type, settings: Any) -> None:
    """Adds a method of one's own to this process: see docs/extending.md.

    ``method``: a class of AttributionMethod's shape, made of ``settings``, a dataclass, which is
    part of the keys of its maps. ValueError for a name that is taken.
    """
    if name in METHODS:
        raise ValueError(f"there is a method {name!r} already: choose another name")
    METHODS[name] = method
    OWN_METHODS[name] = settings


def method_config(name: str, config: AttributionConfig) -> Any:
    """The method's own settings. Raises ValueError for an unknown name."""
    if name not in METHODS:
        raise ValueError(
            f"attribution.methods: unknown method {name!r}; known: {', '.join(METHODS)}"
        )
    return getattr(config, name)


def build_method(
    name: str, config: AttributionConfig, statistics: Mapping[str, FeatureStatistics]
) -> AttributionMethod:
    """The method with its settings; statistics by tap, of the taps that ``required_taps`` names.

    Raises ValueError for an unknown name or missing statistics.
    """
    settings = method_config(name, config)
    taps = required_taps(name, config)
    missing = [tap for tap in taps if tap not in statistics]
    if missing:
        raise ValueError(f"{name} needs the feature statistics at {', '.join(missing)}")
    parts: list[Any] = [statistics[tap] for tap in taps]
    if isinstance(settings, MultilayerIBAConfig):
        parts = [[build_method(layer, config, statistics) for layer in settings.layers]]
    method: AttributionMethod = METHODS[name](settings, *parts)
    return method
