"""What the paper claims, as data. docs/claims.md says each in words, with its test.

A claim compares two methods on the same samples; evaluation/verdicts.py judges it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

LOW_SEVERITY = 6  # ours: the lowest third of 0 ... 18 is a low target


@dataclass(frozen=True)
class Comparison:
    """``better`` has a higher (or lower) ``metric`` than ``worse``, on the same samples."""

    family: str
    source: str  # section, table or figure of the paper; "control" where the claim needs one
    metric: str
    better: str
    worse: str | None  # None: than 0
    higher: bool = True
    where: str = ""  # only where the name of the place starts so
    max_severity: float = np.inf  # only samples whose target is at most that

    @property
    def claim(self) -> str:
        sign = ">" if self.higher else "<"
        limit = "" if np.isinf(self.max_severity) else f", severity <= {self.max_severity:g}"
        return f"{self.metric}: {self.better} {sign} {self.worse or 0}{limit}"


def _each(
    better: Iterable[str], worse: Iterable[str], family: str, source: str, metric: str
) -> list[Comparison]:
    return [Comparison(family, source, metric, a, b) for a in better for b in worse]


_IBA = ("iba", "inverse_iba", "multilayer_iba")
_REGRESSION = ("regression_iba_mse", "regression_iba_rm", "regression_iba_dv")
_LOCAL, _PERTURB, _SEVERITY = "localization", "perturbation", "severity"

LOSS_METHOD = "inverse_iba"  # paper, Table 3
LOSS_CLAIM = Comparison("loss", "4, Table 3", "iou", "inverse_iba@weighted_bce", "inverse_iba@bce")
"""Between two trainings: a side is method@loss."""

COMPARISONS = (
    # 2.3, Tables 1 and 2: Multi-layer beats IBA, and no single tap alone does as well.
    *_each(["multilayer_iba"], ["iba"], _LOCAL, "2.3, Tables 1, 2", "iou"),
    *_each(["multilayer_iba"], ["iba_block1", "iba_block2"], _LOCAL, "control of 2.3", "iou"),
    # Earlier taps mark extra regions: on what truly changes the film, all at one point-spread.
    *_each(["iba"], ["iba_block1", "iba_block2"], _LOCAL, "2.3", "mass_in_box_one_spread"),
    *_each(["iba"], ["iba_block1", "iba_block2"], _LOCAL, "2.3", "average_precision_one_spread"),
    Comparison(_LOCAL, "Table 2", "iou", "inverse_iba", "iba", where="brixia"),
    *_each(_IBA, ["class_prior"], _LOCAL, "control of Tables 1, 2", "iou"),
    # 2.1, 5: Inverse finds all regions. Fig. 4: Multi-layer is finer.
    *_each(["inverse_iba"], ["iba"], _LOCAL, "2.1, 5", "recall_at_area"),
    *_each(["inverse_iba"], ["class_prior"], _LOCAL, "control of 2.1", "recall_at_area"),
    *_each(["inverse_iba"], ["iba"], _LOCAL, "2.1, Fig. 1", "least_recall"),
    *_each(["inverse_iba"], ["iba"], _LOCAL, "control of Fig. 1", "selectivity"),
    *_each(["inverse_iba"], ["class_prior"], _LOCAL, "control of Fig. 1", "least_recall"),
    *_each(["multilayer_iba"], ["iba"], _LOCAL, "4, Fig. 4", "average_precision_causal"),
    *_each(["multilayer_iba"], ["iba"], _LOCAL, "4, Fig. 4", "mass_in_box_causal"),
    *_each(["multilayer_iba"], ["class_prior"], _LOCAL, "control of Fig. 4", "average_precision"),
    # Fig. 2 and the Discussion.
    Comparison(_PERTURB, "4, Fig. 2", "deletion_relative_blur", "inverse_iba", "iba", higher=False),
    *_each(["inverse_iba"], ["iba"], _PERTURB, "4", "change_0.1"),
    *_each(_IBA, ["random"], _PERTURB, "Fig. 2", "insertion_relative_blur"),
    *(
        Comparison(_PERTURB, "Fig. 2", "deletion_relative_blur", method, "random", higher=False)
        for method in _IBA
    ),
    # Fig. 3b; its order is not in the text, this one follows from 2.2.
    *_each([*_IBA[:2], *_REGRESSION], ["random"], _PERTURB, "Fig. 3b", "sensitivity_n"),
    *_each(["regression_iba_dv"], _REGRESSION[:2], _PERTURB, "2.2, Fig. 3b", "sensitivity_n"),
    # 3.2, correlation with severity.
    *_each(_REGRESSION, ["random"], _SEVERITY, "3.2", "pcc_film"),
    *_each(_REGRESSION, ["lung_mask"], _SEVERITY, "control of 3.2", "pcc_film"),
    *_each(_REGRESSION, ["mean_severity"], _SEVERITY, "control of 3.2", "pcc_lungs"),
    # Abstract, 4: the regressor of the sum knows the zones. First the model, then its maps.
    Comparison(_SEVERITY, "4, Fig. 3a", "scores_spearman", "model", None),
    Comparison(_SEVERITY, "control of Fig. 3a", "scores_spearman", "model", "mean_severity"),
    *_each(_REGRESSION, ["random"], _SEVERITY, "4, Fig. 3a", "drops_spearman"),
    *_each(_REGRESSION, ["mean_severity"], _SEVERITY, "control of Fig. 3a", "drops_spearman"),
    # 2.2: a small target makes L_MSE mark the zones of low severity, L_RM still the high ones.
    Comparison(
        _SEVERITY, "2.2", "zone_spearman", "regression_iba_mse", None, False, "", LOW_SEVERITY
    ),
    Comparison(
        _SEVERITY, "2.2", "zone_spearman", "regression_iba_rm", "regression_iba_mse",
        max_severity=LOW_SEVERITY,
    ),
    Comparison(_SEVERITY, "2.2", "zone_spearman", "regression_iba_rm", None),
)  # fmt: skip
