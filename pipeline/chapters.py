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

TABLES = {  # name -> title, caption
    "table1": (
        "Table 1",
        "Mean IoU of thresholded maps with the boxes on the films. Maps are divided by their"
        " maximum; the threshold is chosen on the other half of the patients (two-fold cross-"
        "fitting). Grey rows explain nothing: they are what a method must beat. Other rules:"
        " intersection, the binary map of Eq. 7, which needs no threshold; cross_fitted_bits, a"
        " threshold in bits/pixel; fixed, a share of the maximum that nobody chose; box_area, as"
        " many of the highest pixels as the box has. score is the mean probability of the films,"
        " score_behind that behind the method's bottleneck: IBA is to keep it, Inverse IBA to"
        " leave none.",
    ),
    "table1_findings": (
        "Table 1 by finding",
        "Mean IoU of each finding's boxes, at the thresholds that were chosen on all findings.",
    ),
    "all_regions": (
        "All regions",
        "On films with two or more lesions of the finding, or zones of score 3. least_recall: of"
        " the map's highest pixels, as many as all regions have, the share of the region that has"
        " least of them. selectivity: the share of these pixels that lies on any region; without"
        " it an even map of the whole film would look complete. evenness: least over greatest mean"
        " of the map in a region.",
    ),
    "claims": (
        "Claims",
        "Each claim was written down with its test in docs/claims.md before it was measured."
        " The difference is positive where the claim is right; holds and fails are significant"
        " after Holm's adjustment over the family; fewer than 30 patients decide nothing.",
    ),
    "claims_left_out": (
        "Claims not judged",
        "What this run did not measure.",
    ),
    "localization": (
        "Other localization metrics",
        "Against the boxes, by thresholds that nobody fitted and without a threshold. Means"
        " over boxes; recall_at_area is the share of the box among the highest 10 % of the film.",
    ),
    "truth": (
        "Against what truly changes the film",
        "causal: the pixels that change when the finding is taken out of the same film."
        " causal_one_spread: the same, the maps of IBA's taps first smoothed to the point-spread"
        " of the coarsest, so that a finer grid alone wins nothing. planted: the token that goes"
        " with a label, on the films that hold it. The difference is paired with the random map of"
        " the same sample.",
    ),
    "shortcuts": (
        "Shortcut audit",
        "AUC of a logistic regression that sees no lesion's form, cross-validated over the"
        " patients of the training and validation folds: on the grey histogram, an 8 x 8"
        " thumbnail, view, age and visit, and the letters and tubes alone. Above 0.65 a class is"
        " given away. The phantoms' enlarged heart is: a heart fills many of 64 tiles, and"
        " theirs is easier to tell than real ones are (experiment=nih makes the same table of"
        " real films).",
    ),
    "table3": (
        "Table 3",
        "Inverse IBA on the models of both losses. Four rules, because weighting shifts the"
        " logits and with them the bits of every map: a threshold for each model; one threshold"
        " in bits/pixel for both; one after dividing by the model's mean bits/pixel; and the"
        " average precision of the pixels, which needs none and is no IoU. Mean is over boxes,"
        " as in the paper, MacroMean over findings.",
    ),
    "fig2": (
        "Figure 2",
        "Areas under the curve of the predicted probability while pixels are inserted into the"
        " baseline, or deleted from the film, the highest first. score and blank: the mean"
        " probability of the films and of the baseline alone. relative: the area's share of the"
        " way from blank to film, over the n_drop films whose probability falls by 0.05 or more on"
        " it; on the others a blank film looks ill too, and no order of pixels tells much.",
    ),
    "equal_area": (
        "Equal-area removal",
        "Fall of the predicted probability when the highest 5, 10 or 20 % of the film's pixels"
        " by each map are blurred.",
    ),
    "sanity": (
        "Sanity checks and ROAD",
        "ssim and spearman: likeness to the map of a model randomised from the output down to"
        " this layer (low is good). input_independence: likeness to maps of other patients'"
        " films (low). noise: relative change under invisible noise (low). road: mean"
        " probability while pixels are imputed away, most relevant first (morf, low) or last"
        " (lerf, high).",
    ),
    "diagnostics": (
        "Diagnostics of the methods",
        "Means over samples of what each method says of itself: bits of information, the score"
        " and the score behind the bottleneck, completeness error, conservation ratio.",
    ),
    "operating_points": (
        "Operating points",
        "The largest beta at which each bottleneck keeps its rule on validation films, and what it"
        " leaves there: medians of bits, of the score and of the score behind the bottleneck."
        " met: false where no beta keeps the rule; then all of that method's maps are no"
        " explanation in its own sense. share_met: the share of the films that keep it each.",
    ),
    "table2": (
        "Table 2",
        "IoU of the detectors' maps with the union of the zones whose score the detector looks"
        " for; films that show it only. mask: the lung's own pixels in a zone; box: the strip of"
        " its bounding box. predicted: lungs as the network outlines them; true: as they are;"
        " given: as the user's masks have them."
        " The thresholds are chosen on the other half of the patients. lung_mask says how far"
        " lungs alone go.",
    ),
    "pcc": (
        "Correlation with severity",
        "Pearson correlation of the regressor's maps with the zones painted with their scores,"
        " as a mean over films and pooled over all pixels. film: with the background as 0, the"
        " paper's reading, in which any map of lungs does well; lungs: inside them."
        " mean_severity paints each zone with its mean over the other patients. The paper prints"
        " .4766 for L_MSE and .4404 for one of the others, which it does not name.",
    ),
    "zones": (
        "Zones",
        "zone_spearman: rank correlation of a map's mean in each of the six zones with their"
        " scores. relative_mean_score: mean of a film's zones of that score over the mean of all"
        " its zones.",
    ),
    "zone_drops": (
        "What the regressor knows of the zones",
        "Over the six zones of a film, as a mean over films; sd is the deviation between films."
        " model: how far the predicted score falls when a zone is made healthy (drop_score, by the"
        " zone's score), and how that goes with the scores (scores_). Methods: how a map's zone"
        " means go with these falls (drops_) and with the scores (scores_). mean_severity knows"
        " where zones are usually ill, on other patients.",
    ),
    "fig3b": (
        "Figure 3b",
        "Sensitivity-N of the regressor's maps: the change of the predicted score.",
    ),
    "severity": (
        "Severity",
        "The global score (0-18) on the test films. constant says the mean of the films learnt"
        " on; second_reader is another radiologist.",
    ),
    "zone_localization": (
        "Other localization metrics on the zones",
        "On the zones (mask, the lungs that Table 2 names first): as for the boxes above.",
    ),
    "brixia_diagnostics": (
        "Diagnostics of the methods on the detectors",
        "As above, of the detectors.",
    ),
    "classification": (
        "Classification",
        "Area under the ROC curve and average precision of the classifiers, and of the detectors of"
        " zone scores, on their test folds; the paper's are of NIH's films alone; n/a where a"
        " class has no positive or no negative film.",
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
    ("verdicts", "The paper's claims", ("claims", "claims_left_out")),
    (
        "where",
        "Where the maps point",
        (
            *("figure-table1", "table1", "figure-examples", "figure-fig1"),
            *("figure-fig1_lesions", "figure-fig4"),
            *("table1_findings", "localization", "truth", "all_regions", "table3"),
        ),
    ),
    (
        "importance",
        "Whether the maps say what the model uses",
        (
            *("figure-fig2", "fig2", "figure-sensitivity_n", "equal_area", "sanity"),
            *("diagnostics", "operating_points"),
        ),
    ),
    (
        "brixia",
        "Films with zone scores",
        (
            *("table2", "figure-fig1_scored", "figure-fig3a", "pcc", "zones", "figure-fig3b"),
            *("zone_drops", "fig3b", "severity", "zone_localization", "brixia_diagnostics"),
        ),
    ),
    (
        "classifier",
        "The classifiers",
        (
            *("classification", "figure-roc", "figure-precision_recall", "figure-roc_detectors"),
            "figure-precision_recall_detectors",
            *(f"figure-training_{model}" for model in _MODELS),
        ),
    ),
    ("films", "The films", ("shortcuts", "figure-contact_sheet")),
)
