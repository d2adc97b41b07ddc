"""The report's chapters: their tables and figures, with titles and captions.

A chapter lists the figure ``fig1`` as ``figure-fig1``. What a run has not made is left out.
"""

from models.config import Loss

_MODELS = (
    "pretrain",
    *(f"{loss.value}{when}" for loss in Loss for when in ("_small", "")),
    *(f"detector_{loss.value}" for loss in Loss),
    "severity",
)

SCOREBOARDS = {  # task -> title, caption
    "findings": (
        "Methods on the findings",
        "IoU, average precision (AP), mass inside and pointing: against the boxes. Insertion and"
        " deletion: area under the predicted probability.",
    ),
    "detectors": (
        "Methods on the detectors of zone scores",
        "Against the zones whose score the detector looks for, in the lungs as outlined.",
    ),
    "severity": (
        "Methods on the severity",
        "Against the scores of the six zones; drop: against how far the predicted score falls when"
        " a zone is made healthy.",
    ),
}
SCORES_LEGEND = (
    "Bold with a dot: the best of the methods; ↑ the highest is best, ↓ the lowest. Point at a"
    " number for its interval over patients. Like random weights: mean rank correlation with maps"
    " of the model with random weights; score behind: mean probability behind the bottleneck, which"
    " IBA is to keep and Inverse IBA to remove; seconds: without the choice of beta."
)
HEAT = (
    "IoU by finding",
    "Table 1 of each finding: mean IoU, at thresholds chosen on all findings.",
)

TABLES = {  # name -> title, caption
    "claims_details": (
        "What each claim rests on",
        "All places, rules and further comparisons; positive where the claim is right. Exploratory:"
        " p is not adjusted for their number.",
    ),
    "claims_power": (
        "What these films can decide",
        "power: expected, as stated before any result; found, no_difference and wrong: shares of"
        " simulated runs, with every stated effect (found) and without any. 0 is the family.",
    ),
    "table1": (
        "Table 1",
        "Mean IoU of thresholded maps with the boxes. cross_fitted: the share of the maximum that"
        " is best on the other half of the patients; cross_fitted_bits: the same in bits/pixel;"
        " intersection: the binary map of Eq. 7; fixed: a share that nobody chose; box_area: as"
        " many of the highest pixels as the box has.",
    ),
    "all_regions": (
        "All regions",
        "Films with two or more lesions of the finding, or zones of score 3. Of the map's highest"
        " pixels, as many as all regions have: least_recall, the share of the region that has least"
        " of them; selectivity, the share that lies on any region. evenness: least over greatest"
        " mean of the map in a region.",
    ),
    "localization": (
        "Other localization metrics",
        "Against the boxes, without fitted thresholds. recall_at_area: the share of the box among"
        " the highest 10 % of the film.",
    ),
    "truth": (
        "Against what truly changes the film",
        "causal: the pixels that change when the finding is taken out. causal_one_spread: the same,"
        " the taps' maps first smoothed to the point-spread of the coarsest. planted: the token"
        " that goes with a label. The difference is from the random map of the same sample.",
    ),
    "shortcuts": (
        "Shortcut audit",
        "AUC of a logistic regression that sees no lesion's form: the grey histogram, an 8 x 8"
        " thumbnail, view, age and visit, or the letters and tubes alone. Above 0.65 a class is"
        " given away; the phantoms' enlarged heart is.",
    ),
    "table3": (
        "Table 3",
        "Inverse IBA on the models of both losses: a threshold for each model; one in bits/pixel"
        " for both; one after dividing by the model's mean; and the average precision, which needs"
        " none and is no IoU. Mean is over boxes, MacroMean over findings.",
    ),
    "fig2": (
        "Figure 2 in numbers",
        "Areas under the predicted probability while pixels are inserted into the baseline or"
        " deleted from the film, the highest first. relative: the area's share of the way from"
        " blank to film, over the n_drop films whose probability falls by 0.05 or more on it.",
    ),
    "equal_area": (
        "Equal-area removal",
        "Fall of the predicted probability when the highest 5, 10 or 20 % of the pixels are"
        " blurred.",
    ),
    "sanity": (
        "Sanity checks and ROAD",
        "ssim, spearman: likeness to the map of a model randomised down to this layer (low is"
        " good). input_independence: likeness to maps of other films (low). noise: change under"
        " invisible noise (low). road: mean probability while pixels are imputed away, most"
        " relevant first (morf, low) or last (lerf, high).",
    ),
    "diagnostics": (
        "Diagnostics of the methods",
        "What each method says of itself: bits, scores, completeness error, conservation ratio.",
    ),
    "operating_points": (
        "Operating points",
        "The largest beta at which each bottleneck keeps its rule on validation films, with medians"
        " there. met: whether any beta keeps it; share_met: the share of the films that do.",
    ),
    "table2": (
        "Table 2",
        "IoU of the detectors' maps with the zones whose score the detector looks for. mask: the"
        " lung's pixels in a zone; box: the strip of its bounding box; lungs predicted by the"
        " network, true, or given by the user. Thresholds as in Table 1.",
    ),
    "pcc": (
        "Correlation with severity",
        "Pearson correlation of the maps with the zones painted with their scores. film: with the"
        " background as 0, the paper's reading, in which any map of lungs does well; lungs: inside"
        " them. mean_severity paints each zone with its mean over the other patients. The paper"
        " does not name the loss of its .4404.",
    ),
    "zones": (
        "Zones",
        "zone_spearman: rank correlation of a map's mean in each of the six zones with their"
        " scores. relative_mean_score: mean in zones of that score over the mean of all zones.",
    ),
    "zone_drops": (
        "What the regressor knows of the zones",
        "model: how far the predicted score falls when a zone is made healthy (drop_score, by the"
        " zone's score), and how that goes with the scores (scores_). Methods: how a map's zone"
        " means go with these falls (drops_) and with the scores; sd: between films.",
    ),
    "fig3b": (
        "Figure 3b in numbers",
        "Sensitivity-N of the regressor's maps: the change of the predicted score.",
    ),
    "severity": (
        "Severity",
        "The global score (0-18) on the test films. constant: the mean of the films learnt on;"
        " second_reader: another radiologist.",
    ),
    "zone_localization": (
        "Other localization metrics on the zones",
        "On the zones (mask): as for the boxes.",
    ),
    "brixia_diagnostics": ("Diagnostics of the methods on the detectors", "As for the findings."),
    "classification": (
        "Classification",
        "AUC and average precision on the test folds; n/a where a class has no positive or no"
        " negative film. The paper's are of NIH's films alone.",
    ),
}

FIGURES = {  # name -> title, caption
    "fig1": (
        "Figure 1: both sides of a finding",
        "The last line under a map: which part of what it holds in the box lies on the half of the"
        " film that has less of it: 50 % where both sides count alike.",
    ),
    "fig1_lesions": (
        "Figure 1: several lesions of a finding",
        "The last line under a map: of its highest pixels, as many as all lesions have, the share"
        " of the lesion that has least of them. On phantoms one is fainter than the others.",
    ),
    "fig1_scored": (
        "Figure 1: zones of score 3",
        "Zones of score 3 are outlined in colour, others in grey. The last line under a map: which"
        " part of it lies in zones of score 3.",
    ),
    "fig2": ("Figure 2: insertion over deletion", "Bars are intervals over patients."),
    "fig3a": (
        "Figure 3a: severity by zone beside Regression IBA",
        "The regressor learnt the sum of the six scores only.",
    ),
    "fig3b": ("Figure 3b: Sensitivity-N of the regressor", "Bars are intervals over patients."),
    "fig4": ("Figure 4: IBA and Multi-layer IBA", ""),
    "table1": ("Mean IoU", "As in Table 1 below."),
    "examples": ("Examples: every method on the same films", ""),
    "sensitivity_n": ("Sensitivity-N", "Bars are intervals over patients."),
    "roc": (
        "Receiver operating characteristic",
        "With the number of films that have the finding; dashed grey: chance.",
    ),
    "precision_recall": (
        "Precision over recall",
        "The area below the steps is the average precision; dashed grey: the share of films that"
        " have the finding.",
    ),
    "roc_detectors": ("Receiver operating characteristic of the detectors", ""),
    "precision_recall_detectors": ("Precision over recall of the detectors", ""),
    "contact_sheet": ("Contact sheet", ""),
    **{
        f"training_{model}": (
            f"Training: {model.replace('_', ' ')}",
            "The weights of the lowest validation loss are kept.",
        )
        for model in _MODELS
    },
}

CHAPTERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # id, title, tables and figures
    ("behind", "Behind the claims", ("claims_details", "claims_power")),
    (
        "where",
        "Where the maps point",
        (
            *("figure-fig1", "figure-fig1_lesions", "figure-fig4", "figure-examples"),
            *("figure-table1", "table1", "localization", "truth", "all_regions", "table3"),
        ),
    ),
    (
        "importance",
        "What the model uses",
        (
            *("figure-fig2", "fig2", "figure-sensitivity_n", "equal_area", "sanity"),
            *("diagnostics", "operating_points"),
        ),
    ),
    (
        "brixia",
        "Zone scores",
        (
            *("figure-fig1_scored", "figure-fig3a", "table2", "pcc", "zones", "figure-fig3b"),
            *("zone_drops", "fig3b", "severity", "zone_localization", "brixia_diagnostics"),
        ),
    ),
    (
        "classifier",
        "Classifiers",
        (
            *("classification", "figure-roc", "figure-precision_recall", "figure-roc_detectors"),
            "figure-precision_recall_detectors",
            *(f"figure-training_{model}" for model in _MODELS),
            *("shortcuts", "figure-contact_sheet"),
        ),
    ),
)
