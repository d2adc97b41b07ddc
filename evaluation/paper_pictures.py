"""What the paper's pictures of films show: Fig. 1 (both sides, score 3) and Fig. 4 (fine maps).

``evaluation.overlays.mosaic`` draws them, as it does Fig. 3a; which films they show is said in
``evaluation.examples``.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evaluation.localization import box_mask
from evaluation.localization_metrics import weaker_share
from evaluation.overlays import Example

FIG1_METHODS = ("iba", "inverse_iba")
FIG1_METHOD = "inverse_iba"  # that the figure is about
FIG4_METHODS = ("iba", "multilayer_iba")
FIG4_METHOD = "multilayer_iba"
FIG4_FINDINGS = ("Mass", "Cardiomegaly")


def fig1_row(examples: Sequence[Example]) -> Example:
    """The samples of one finding on one film as one row, with a share below each map's other notes.

    With boxes: which part of the map's positive mass in them lies on the film's half that has less.
    With zones: which part of all of it lies in the marked ones (``ScoredZones.marked``).
    """
    example = replace(examples[0], boxes=tuple(box for each in examples for box in each.boxes))
    if example.zones is None:
        shares, where = _in_lesser_half(example), "on the lesser side"
    else:
        shares, where = _in_marked_zones(example), f"in zones of score {example.zones.marked}"
    notes = dict(example.notes)
    for method, share in shares.items():
        said = f"{100 * share:.0f} % {where}" if np.isfinite(share) else f"nothing {where}"
        notes[method] = (*notes.get(method, ()), said)
    return replace(example, notes=notes)


def _in_lesser_half(example: Example) -> dict[str, float]:
    side = example.film.shape[0]
    inside = np.any([box_mask(*box, side) for box in example.boxes], axis=0)
    left = np.arange(side) < side / 2
    return {
        method: float(weaker_share(heat[None], (inside & left)[None], (inside & ~left)[None])[0])
        for method, heat in example.maps.items()
    }


def _in_marked_zones(example: Example) -> dict[str, float]:
    zones = example.zones
    assert zones is not None
    marked = zones.masks[zones.scores == zones.marked].any(axis=0)
    positive = {method: np.maximum(heat, 0) for method, heat in example.maps.items()}
    return {
        method: float(heat[marked].sum() / heat.sum()) if heat.any() else np.nan
        for method, heat in positive.items()
    }
