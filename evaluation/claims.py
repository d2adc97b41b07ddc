"""The paper's twelve claims, as data. docs/claims.md says each in words, with its test.

Written before any result that they judge; ``evaluation/verdicts.py`` judges them.
"""

from dataclasses import dataclass, replace

import numpy as np

LOW_SEVERITY = 6  # ours: the lowest third of 0 ... 18 is a low target
FINDINGS, DETECTORS, SEVERITY = ("findings",), ("detectors",), ("severity",)
REGIONS = ("lesions", "zones")  # films with several lesions, or several zones of score 3


@dataclass(frozen=True)
class Part:
    """``better`` has a higher (or lower) metric than ``worse``, on the same samples.

    Of rows of ``pipeline.steps.rows.ROWS``; the samples of all ``tasks`` are pooled, several
    ``metrics`` of a sample averaged. Differences are turned so that a positive one is what the
    paper says. ``margin``: below it a difference does not matter; ``effect``: the difference that
    the test is made for; ``spread``: the standard deviation over patients that is expected, in the
    metric's units.
    """

    tasks: tuple[str, ...]
    table: str
    metrics: tuple[str, ...]
    better: str
    worse: str | None  # None: than 0
    margin: float
    effect: float
    spread: float
    place: str | None = None  # None: any
    higher: bool = True
    max_severity: float = np.inf  # only films whose target is at most that
    without: str | None = None  # a finding that is left out

    @property
    def takes_some(self) -> bool:
        """Whether some samples of its tasks are left out."""
        return self.without is not None or bool(np.isfinite(self.max_severity))

    @property
    def name(self) -> str:
        """What the part compares, in a line."""
        sign = ">" if self.higher else "<"
        metric = " and ".join(self.metrics) + (f" ({self.place})" if self.place else "")
        limits = [f"severity <= {self.max_severity:g}"] if np.isfinite(self.max_severity) else []
        limits += [f"without {self.without}"] if self.without else []
        return ", ".join([f"{metric}: {self.better} {sign} {self.worse or 0}", *limits])


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper. It holds where every one of its ``parts`` does.

    ``controls``: the same, against maps that explain nothing; the strongest stands beside the
    verdict and is not part of it. ``paper``: its numbers, as printed.
    """

    number: int
    sentence: str
    source: str  # section, table or figure
    measure: str  # the metric in plain words
    parts: tuple[Part, ...]
    controls: tuple[Part, ...] = ()
    paper: str = ""


def _against(part: Part, *others: str) -> tuple[Part, ...]:
    """The same comparison with other methods."""
    return tuple(replace(part, worse=other) for other in others)


def _of(part: Part, *methods: str) -> tuple[Part, ...]:
    """The same comparison of other methods."""
    return tuple(replace(part, better=method) for method in methods)


_RIVALS = ("grad_cam", "integrated_gradients", "lrp", "gradient")
_TAPS = ("iba_block1", "iba_block2")
_REGION = Part(
    REGIONS, "all_regions", ("least_recall",), "inverse_iba", "iba", 0.05, 0.06, 0.09
)  # fmt: skip
_CHANGE = Part(
    FINDINGS, "equal_area", ("change_0.1", "change_0.2"), "inverse_iba", "iba", 0.03, 0.03, 0.07
)  # fmt: skip
_DELETION = Part(
    (*FINDINGS, *DETECTORS), "fig2", ("deletion_auc",), "inverse_iba", "iba", 0.02, 0.025, 0.03,
    place="blur", higher=False,
)  # fmt: skip
_TABLE1 = Part(FINDINGS, "table1", ("iou",), "multilayer_iba", "iba", 0.03, 0.04, 0.09)
_RIVALS1 = replace(_TABLE1, effect=0.06, spread=0.12)
_TABLE2 = Part(DETECTORS, "table2", ("iou",), "inverse_iba", "iba", 0.03, 0.04, 0.075)
_RIVALS2 = replace(_TABLE2, effect=0.08, spread=0.14)
_ORDER = Part(
    FINDINGS, "truth", ("average_precision",), "multilayer_iba", "iba", 0.05, 0.1, 0.2,
    place="causal", without="Cardiomegaly",
)  # fmt: skip
_MASS = replace(_ORDER, metrics=("mass_in_box",), spread=0.17)
_SPREAD = Part(
    FINDINGS, "truth", ("mass_in_box",), "iba", "iba_block1", 0.02, 0.02, 0.05,
    place="causal_one_spread",
)  # fmt: skip
_SCORES = Part(
    SEVERITY, "zone_drops", ("scores_spearman",), "model", "mean_severity", 0.2, 0.4, 0.5
)  # fmt: skip
_DROPS = Part(
    SEVERITY, "zone_drops", ("drops_spearman",), "regression_iba_dv", None, 0.2, 0.4, 0.75
)  # fmt: skip
_PCC = Part(SEVERITY, "pcc", ("pcc_film",), "regression_iba_mse", "random", 0.1, 0.2, 0.25)
_MILD = Part(
    SEVERITY, "zones", ("zone_spearman",), "regression_iba_rm", "regression_iba_mse",
    0.2, 1.0, 0.6, max_severity=LOW_SEVERITY,
)  # fmt: skip

CLAIMS = (
    Claim(
        1, "Inverse IBA marks all regions, IBA only some", "2.1, 4, Fig. 1",
        "recall of the region that a map marks least", (_REGION,), _against(_REGION, "class_prior"),
    ),
    Claim(
        2, "Equal areas removed, Inverse IBA changes the output more than IBA", "4",
        "fall of the probability, 10 and 20 % of the pixels removed", (_CHANGE,),
        _against(_CHANGE, "random"),
    ),
    Claim(
        3, "The Deletion experiment says so over the data set", "4, Fig. 2",
        "deletion AUC, lower is better", (_DELETION,), _against(_DELETION, "random"),
    ),
    Claim(
        4, "Multi-layer IBA localises findings best", "Table 1", "mean IoU with the boxes",
        (*_against(_RIVALS1, *_RIVALS), *_against(_TABLE1, "iba", "inverse_iba")),
        _against(_TABLE1, *_TAPS, "class_prior"),
        "0.189 against 0.114 of the next",
    ),
    Claim(
        5, "On zones of a score, Inverse IBA localises better than IBA", "Table 2",
        "mean IoU with the zones", (_TABLE2,), _against(_TABLE2, "class_prior", "lung_mask"),
        "0.227 against 0.166",
    ),
    Claim(
        6, "There, Inverse and Multi-layer IBA beat GradCAM, Integrated Gradients, LRP and "
        "Gradients", "Table 2", "mean IoU with the zones",
        tuple(
            part
            for method in ("inverse_iba", "multilayer_iba")
            for part in _against(replace(_RIVALS2, better=method), *_RIVALS)
        ),
        tuple(
            part
            for method in ("inverse_iba", "multilayer_iba")
            for part in _against(replace(_TABLE2, better=method), "class_prior", "lung_mask")
        ),
        "0.227 and 0.228 against 0.149 of the next",
    ),
    Claim(
        7, "Multi-layer IBA is finer than IBA", "2.3, Fig. 4",
        "share of the map on the pixels that truly change the film, and their average precision",
        (_ORDER, _MASS), _against(_MASS, *_TAPS),
    ),
    Claim(
        8, "Earlier layers mark extra regions", "2.3",
        "share of the map on the pixels that truly change the film, at one point-spread",
        _against(_SPREAD, *_TAPS),
    ),
    Claim(
        9, "A regressor of the summed score learns the zones", "Abstract, 4, Fig. 3a",
        "rank correlation over the zones of a film",
        (_SCORES, _DROPS, *_against(_DROPS, "mean_severity")), _against(_DROPS, "random"),
    ),
    Claim(
        10, "Regression IBA's maps correlate with the severity", "3.2",
        "correlation of map and severity over the film's pixels",
        _against(_PCC, "random", "mean_severity"), _against(_PCC, "lung_mask"),
        "0.477 and 0.440 against 0.000",
    ),
    Claim(
        11, "Of a mild film, L_MSE marks the milder zones, L_RM the worse", "2.2",
        "rank correlation over the zones of films of at most 6 points", (_MILD,),
    ),
    Claim(
        12, "Weighted BCE looks nearer to the annotations and classifies no better",
        "4, Table 3", "mean IoU with the boxes; AUC and average precision", (),
        paper="IoU 0.065 against 0.024; AUC 0.788 against 0.790",
    ),
)  # fmt: skip
"""Number 12 is judged over pairs of trainings, by ``evaluation/loss_claim.py``."""

_IBA = ("iba", "inverse_iba", "multilayer_iba")
_REGRESSION = ("regression_iba_mse", "regression_iba_rm", "regression_iba_dv")
_INSERTION = replace(_DELETION, metrics=("insertion_auc",), worse="random", higher=True)
_CORRELATION = Part(FINDINGS, "sensitivity_n", ("correlation",), "", "random", 0.05, 0.05, 0.2)
_ZONES = Part(SEVERITY, "zones", ("zone_spearman",), "", None, 0.2, 0.4, 0.6)

FURTHER = (
    *_against(_TABLE1, *_TAPS, "random", "location_prior"),
    *_of(replace(_TABLE1, worse="class_prior"), "iba", "inverse_iba"),
    replace(_TABLE1, better="iba", worse="inverse_iba"),
    *_of(replace(_TABLE2, worse="class_prior"), "iba", "multilayer_iba"),
    *_of(replace(_TABLE2, worse="lung_mask"), "iba", "multilayer_iba"),
    replace(_REGION, metrics=("selectivity",)),
    replace(_REGION, metrics=("evenness",)),
    *(replace(part, without=None) for part in (_ORDER, _MASS)),
    *_of(_INSERTION, *_IBA),
    *_of(replace(_DELETION, worse="random"), "iba", "multilayer_iba"),
    *(
        part
        for tasks, table, methods in (
            (FINDINGS, "sensitivity_n", _IBA),
            (SEVERITY, "fig3b", _REGRESSION),
        )
        for part in _of(replace(_CORRELATION, tasks=tasks, table=table), *methods)
    ),
    *_of(replace(_DROPS, worse="mean_severity"), *_REGRESSION[:2]),
    *_of(_PCC, *_REGRESSION[1:]),
    *_of(replace(_PCC, metrics=("pcc_lungs",), worse="mean_severity"), *_REGRESSION),
    *_of(_ZONES, *_REGRESSION),
)
"""Comparisons beside the claims, of claims_details.csv: exploratory, adjusted for nothing."""
