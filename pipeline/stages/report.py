"""report: the run folder's tables, figures and ``report.html``, assembled anew for every run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from data.config import Source
from pipeline.config import PipelineConfig
from pipeline.plan import Plan
from pipeline.progress import seconds_text
from pipeline.runner import Outcome
from pipeline.stages.figures import ALT_TEXTS
from pipeline.stages.finetune import DETECTOR, SEVERITY
from pipeline.store import Store

_PROBLEM_KINDS = 12  # kinds of problems that the report lists; problems.csv holds every single one
_NIH_FILMS = 112_120
_CAPTIONS = {
    "table1": (
        "Mean IoU of thresholded maps with the radiologists' boxes. Maps are divided by their"
        " maximum; the threshold is chosen on the other half of the patients (two-fold"
        " cross-fitting). Grey rows explain nothing: they are what a method must beat. Other rules:"
        " cross_fitted_bits, a threshold in bits/pixel; fixed, a share of the maximum that nobody"
        " chose; box_area, as many of the highest pixels as the box has."
    ),
    "claims": (
        "Each claim was written down with its test in docs/claims.md before it was measured. The"
        " difference is positive where the claim is right; holds and fails are significant after"
        " Holm's adjustment over the family; fewer than 30 patients decide nothing."
    ),
    "claims_left_out": "What this run did not measure.",
    "localization": (
        "Against the boxes, by thresholds that nobody fitted and without a threshold. Means over"
        " boxes; recall_at_area is the share of the box among the highest 10 % of the film,"
        " area_at_recall the share of the film that holds half of the box."
    ),
    "truth": (
        "causal: the pixels that change when the finding is taken out of the same film."
        " planted: the token that goes with a label, on the films that hold it. twins: films with"
        " a second, mirrored copy of the lesion; weaker_share is 0.5 where a map holds both alike"
        " and 0 where it holds one alone (the paper's Fig. 1). The difference is"
        " paired with the random map of the same sample."
    ),
    "shortcuts": (
        "AUC of a logistic regression that sees no lesion's form, cross-validated over the patients"
        " of the training and validation folds: on the grey histogram, an 8 x 8 thumbnail, view,"
        " age and visit, and the letters and tubes alone. Above 0.65 a class is given away. The"
        " phantoms' enlarged heart is: a heart fills many of 64 tiles, and theirs is easier to tell"
        " than real ones are (experiment=nih makes the same table of real films)."
    ),
    "table3": (
        "Inverse IBA on the models of both losses. Four rules, because weighting shifts the logits"
        " and with them the bits of every map: a threshold for each model; one threshold in"
        " bits/pixel for both; one after dividing by the model's mean bits/pixel; and the average"
        " precision of the pixels, which needs none and is no IoU. Mean is over boxes, as in the"
        " paper, MacroMean over findings."
    ),
    "fig2": (
        "Areas under the curve of the predicted probability while pixels are inserted into the"
        " baseline, or deleted from the film, the highest first."
    ),
    "equal_area": (
        "Fall of the predicted probability when the highest 5, 10 or 20 % of the film's pixels by"
        " each map are blurred."
    ),
    "sanity": (
        "ssim and spearman: likeness to the map of a model randomised from the output down to this"
        " layer (low is good). input_independence: likeness to maps of other patients' films"
        " (low). noise: relative change under invisible noise (low). road: mean probability while"
        " pixels are imputed away, most relevant first (morf, low) or last (lerf, high)."
    ),
    "diagnostics": (
        "Means over samples of what each method says of itself: bits of information, the score and"
        " the score behind the bottleneck, completeness error, conservation ratio."
    ),
    "table2": (
        "IoU of the detectors' maps with the union of the zones whose score the detector looks for;"
        " films that show it only. mask: the lung's own pixels in a zone; box: the strip of its"
        " bounding box. predicted: lungs as the network outlines them; true: as they are. The"
        " thresholds are chosen on the other half of the patients. lung_mask says how far lungs"
        " alone go."
    ),
    "pcc": (
        "Pearson correlation of the regressor's maps with the zones painted with their scores, as a"
        " mean over films and pooled over all pixels. film: with the background as 0, the paper's"
        " reading, in which any map of lungs does well; lungs: inside them. mean_severity paints"
        " each zone with its mean over the other patients. The paper prints .4766 for L_MSE and"
        " .4404 for one of the others, which it does not name."
    ),
    "zones": (
        "zone_spearman: rank correlation of a map's mean in each of the six zones with their"
        " scores. relative_mean_score: mean of a film's zones of that score over the mean of all"
        " its zones."
    ),
    "fig3b": "Sensitivity-N of the regressor's maps: the change of the predicted score.",
    "severity": (
        "The global score (0-18) on the test films. constant says the mean of the films learnt on;"
        " second_reader is another radiologist."
    ),
    "zone_localization": (
        "On the zones (mask, the lungs that Table 2 names first): as for the boxes above."
    ),
    "brixia_diagnostics": "As above, of the detectors.",
    "classification": (
        "Area under the ROC curve and average precision of the classifier on the test fold;"
        " n/a where a class has no positive or no negative film."
    ),
}


def write_report(
    config: PipelineConfig, plan: Plan, outcomes: list[Outcome], store: Store, folder: Path
) -> None:
    """Copies tables and figures into the run folder and writes ``report.html`` there."""
    from evaluation.report import render_report

    where = store.folder(plan.index.name, plan.index.key)
    sources, drawn = [plan.index, plan.pack], [plan.figures]
    if plan.brixia is not None:
        sources += [*plan.brixia.indices, *plan.brixia.packs, *plan.brixia.zones.values()]
        drawn.append(plan.brixia.figures)
    problems = pd.concat(
        [
            pd.read_csv(store.folder(stage.name, stage.key) / "problems.csv", dtype=str)
            for stage in sources
        ],
        ignore_index=True,
    )
    alt_texts: dict[str, str] = {}
    for stage, name, suffix in (
        *((stage, "tables", "csv") for stage in (plan.tables, plan.claims, plan.shortcuts)),
        *((stage, "figures", "png") for stage in drawn),
    ):
        (folder / name).mkdir(exist_ok=True)
        made = store.folder(stage.name, stage.key)
        for path in sorted(made.glob(f"*.{suffix}")):
            shutil.copyfile(path, folder / name / path.name)
        if (made / ALT_TEXTS).exists():
            alt_texts |= json.loads((made / ALT_TEXTS).read_text(encoding="utf-8"))
    problems.to_csv(folder / "tables" / "problems.csv", index=False)
    found = len(pd.read_csv(where / "images.csv", usecols=["image"]))
    content = report_content(config, outcomes, folder, found, alt_texts, problems)
    page = folder / "report.html.tmp"
    page.write_text(render_report(content), encoding="utf-8")
    page.replace(folder / "report.html")


def report_content(
    config: PipelineConfig,
    outcomes: list[Outcome],
    folder: Path,
    found: int,
    alt_texts: dict[str, str],
    problems: pd.DataFrame,
) -> Any:
    """What the report says of this run."""
    from evaluation import report
    from evaluation.overlays import EXAMPLE_RULE

    phantoms = config.dataset.source is Source.phantoms
    banner, statement = None, []
    if phantoms:
        from data.phantom.difficulty import difficulty_name

        banner, statement = report.PHANTOM_BANNER, [report.PHANTOM_STATEMENT]
        statement.append(f"Phantoms of difficulty {difficulty_name(config.dataset.phantom)}.")
    elif found < _NIH_FILMS:
        banner = report.partial_banner(found, _NIH_FILMS)
        statement = [report.PARTIAL_STATEMENT]
    statement.append(
        f"{found:,} films at {config.dataset.side} px; a DenseNet121 from {config.model.init}"
        f" weights{_pretraining(config)}, trained for {config.train.epochs} epochs with each of"
        f" {', '.join(loss.value for loss in config.train.losses)}; the model of"
        f" {config.train.primary.value} is explained;"
        f" attribution by {', '.join(config.attribution.methods)}; seed {config.seed}."
    )

    def figure(name: str, title: str, caption: str) -> list[report.ReportFigure]:
        if name not in alt_texts:
            return []
        picture = report.Picture(alt_texts[name], (folder / "figures" / f"{name}.png").read_bytes())
        return [report.ReportFigure(f"figure-{name}", title, caption, (picture,))]

    def table(name: str, title: str) -> list[report.ReportTable]:
        path = folder / "tables" / f"{name}.csv"
        if not path.exists():
            return []
        frame = pd.read_csv(path, na_values=["n/a"], keep_default_na=False)
        return [report.ReportTable(name, title, _CAPTIONS[name], frame, f"tables/{name}.csv")]

    table1 = table("table1", "Table 1")
    claims = table("claims", "Claims")
    shortcuts = table("shortcuts", "Shortcut audit")
    sections = (
        report.ReportSection(
            "verdicts",
            "The paper's claims",
            (*claims, *table("claims_left_out", "Claims not judged")),
        ),
        report.ReportSection(
            "where",
            "Where the maps point",
            (
                *figure("table1", "Mean IoU", "As in Table 1 below."),
                *table1,
                *figure("examples", "Examples", EXAMPLE_RULE),
                *table("localization", "Other localization metrics"),
                *table("truth", "Against what truly changes the film"),
                *table("table3", "Table 3"),
            ),
        ),
        report.ReportSection(
            "importance",
            "Whether the maps say what the model uses",
            (
                *figure("fig2", "Insertion over deletion", "As in Figure 2 below."),
                *table("fig2", "Figure 2"),
                *figure("sensitivity_n", "Sensitivity-N", "The band is the interval."),
                *table("equal_area", "Equal-area removal"),
                *table("sanity", "Sanity checks and ROAD"),
                *table("diagnostics", "Diagnostics of the methods"),
            ),
        ),
        report.ReportSection(
            "classifier",
            "The classifier",
            (
                *table("classification", "Classification"),
                *(
                    part
                    for name in ("pretrain", *(loss.value for loss in config.train.losses))
                    for part in figure(
                        f"training_{name}",
                        f"Training, {name}",
                        "The weights of the lowest validation loss are kept.",
                    )
                ),
            ),
        ),
        report.ReportSection(
            "brixia",
            "Films with zone scores",
            (
                *table("table2", "Table 2"),
                *table("pcc", "Correlation with severity"),
                *table("zones", "Zones"),
                *figure("fig3b", "Sensitivity-N of the regressor", "The band is the interval."),
                *table("fig3b", "Figure 3b"),
                *table("severity", "Severity"),
                *table("zone_localization", "Other localization metrics on the zones"),
                *table("brixia_diagnostics", "Diagnostics of the methods on the detectors"),
                *(
                    part
                    for name in _fine_tunings(config)
                    for part in figure(
                        f"training_{name}",
                        f"Fine-tuning, {name.replace('_', ' ')}",
                        "The weights of the lowest validation loss are kept.",
                    )
                ),
            ),
        ),
        report.ReportSection(
            "films",
            "The films",
            (
                *shortcuts,
                *figure(
                    "contact_sheet",
                    "Contact sheet",
                    "Phantom films with the boxes and outlines of their lesions.",
                ),
            ),
        ),
    )
    return report.ReportContent(
        title=f"Explaining chest X-ray models: {config.name}",
        banner=banner,
        statement=tuple(statement),
        verdicts=(
            *(report.claims_verdict(part.frame) for part in claims),
            *(report.table1_verdict(part.frame) for part in table1),
            *(report.shortcuts_verdict(part.frame) for part in shortcuts),
        ),
        facts=_facts(config, found),
        sections=tuple(section for section in sections if section.blocks),
        problems=report.ReportTable(
            "problems",
            "Data problems",
            "Counted by kind; tables/problems.csv lists every one.",
            report.summarise_problems(problems, _PROBLEM_KINDS),
            "tables/problems.csv",
        ),
        problem_count=len(problems),
        notes=tuple(
            f"{outcome.stage.title}: {note}"
            for outcome in outcomes
            for note in outcome.artifact.manifest["notes"]
        ),
        provenance=_provenance(outcomes),
        stages=report.ReportTable(
            "stages",
            "Stages",
            "Seconds are those of the run that made the result.",
            pd.DataFrame(
                [
                    {
                        "stage": outcome.stage.title,
                        "key": outcome.stage.key[:12],
                        "in this run": "from the store" if outcome.hit else "made",
                        "seconds": outcome.artifact.manifest["seconds"],
                    }
                    for outcome in outcomes
                ]
            ),
        ),
        next_commands={
            "make status": "what another run would do, and what it would find in the store",
            'make reproduce ARGS="attribution.iba.beta=20"': "the same with another β",
            "python -m pipeline seed=0,1,2 -m": "three seeds, one run folder each",
        },
    )


def _fine_tunings(config: PipelineConfig) -> list[str]:
    losses = [f"{DETECTOR}_{loss.value}" for loss in config.brixia.detector.losses]
    return [*losses, SEVERITY]


def _pretraining(config: PipelineConfig) -> str:
    epochs = config.train.pretrain_epochs
    return f", pre-trained for {epochs} epochs with bce" if epochs else ""


def _facts(config: PipelineConfig, found: int) -> dict[str, object]:
    return {
        "films": f"{found:,} ({config.dataset.source.value})",
        "side": f"{config.dataset.side} px",
        "outputs": config.dataset.num_labels,
        "seed": config.seed,
        "methods": len(config.attribution.methods),
    }


def _provenance(outcomes: list[Outcome]) -> dict[str, object]:
    made = outcomes[-1].artifact.manifest["provenance"]
    commit = made["git"]["commit"] or "unknown"
    return {
        "commit": commit + (" with uncommitted changes" if made["git"]["dirty"] else ""),
        "python": made["python"],
        **made["packages"],
        **made["hardware"],
        "seconds to make it all": seconds_text(
            sum(outcome.artifact.manifest["seconds"] for outcome in outcomes)
        ),
    }
