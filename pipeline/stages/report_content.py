"""What the report says of a run, from its results in the store and its tables and figures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data.config import LungSource, ScoredFilms, Source, TestFilms
from pipeline.budget import EXPERIMENT, budget_table
from pipeline.config import PipelineConfig, section
from pipeline.evaluated_films import EvaluatedFilms
from pipeline.progress import seconds_text
from pipeline.provenance import ROOT
from pipeline.stages.chapters import CHAPTERS, FIGURES, TABLES
from pipeline.stages.figures import RECORD
from pipeline.store import Artifact

_PROBLEM_KINDS = 12  # kinds of problems that the report lists; problems.csv holds every single one
_NIH_FILMS, _BRIXIA_FILMS = 112_120, 4_695
_PHANTOMS_AND_FILMS = (
    "The classifier learnt on phantoms, rendered by this project, and is measured on phantoms; the"
    " films with zone scores that are measured are real ones. No number here is a reproduction of"
    " the paper."
)
_DEVIATIONS = "Where the paper, the published code and this project differ: docs/deviations.md."
_NOT_EMBEDDED = (
    "report.embed_images=false: no pixel of a film is in this file. Figures that show films are"
    " left out; they lie in figures/ of the run's folder."
)
_SECONDS = (
    "Seconds of wall time, from start to end of the process that finished the result, whichever run"
    " it was: of work in several processes not their sum, after a resume the last sitting alone."
)
_LUNGS = {
    LungSource.phantoms: "as a network outlines them that learnt the phantoms' own",
    LungSource.pairs: "as a network outlines them that learnt the films and masks at paths.lungs",
    LungSource.masks: "as the masks at paths.lungs have them",
}


@dataclass(frozen=True)
class Made:
    """A stage's result as a run found or made it."""

    key: str
    hit: bool
    artifact: Artifact


def figure_stages(made: Mapping[str, Made]) -> list[str]:
    return [title for title in made if title.split()[0] == "figures"]


def _figures_record(made: Mapping[str, Made]) -> dict[str, dict[str, Any]]:
    record: dict[str, dict[str, Any]] = {}
    for title in figure_stages(made):
        path = made[title].artifact.folder / RECORD
        if not path.exists():
            raise ValueError(f"the {title} are of an earlier version of the project: run it anew")
        record |= json.loads(path.read_text(encoding="utf-8"))
    return record


def report_content(
    config: PipelineConfig, made: Mapping[str, Made], folder: Path, problems: pd.DataFrame
) -> Any:
    """What the report says of this run, whose tables and figures lie in ``folder``."""
    from evaluation import report
    from evaluation.report_tables import markdown_tables

    images = made["index"].artifact.folder / "images.csv"
    found = len(pd.read_csv(images, usecols=["image"]))
    drawn, embed = _figures_record(made), config.report.embed_images
    phantoms = config.dataset.source is Source.phantoms
    banner, statement = None, []
    if phantoms:
        from data.phantom.difficulty import difficulty_name

        banner, statement = report.PHANTOM_BANNER, [report.PHANTOM_STATEMENT]
        if _real_scored(config):
            statement = [_PHANTOMS_AND_FILMS]
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
    statement += _scored_statement(config, made)
    if not embed:
        statement.append(_NOT_EMBEDDED)

    def figure(name: str) -> list[report.ReportFigure]:
        if name not in drawn:
            return []
        title, caption = FIGURES[name]
        caption = f"{caption} {drawn[name]['caption']}".strip()
        path = f"figures/{name}.png"
        pictures: tuple[report.Picture, ...] = ()
        if embed or not drawn[name]["films"]:
            pictures = (report.Picture(drawn[name]["alt"], (folder / path).read_bytes()),)
        else:
            caption = f"Not embedded, for it shows films: {path} in the run's folder. {caption}"
        pdf = f"figures/{name}.pdf" if (folder / f"figures/{name}.pdf").exists() else None
        return [report.ReportFigure(f"figure-{name}", title, caption, pictures, pdf)]

    def table(name: str) -> list[report.ReportTable]:
        path = folder / "tables" / f"{name}.csv"
        if not path.exists():
            return []
        frame = pd.read_csv(path, na_values=["n/a"], keep_default_na=False)
        return [report.ReportTable(name, *TABLES[name], frame, f"tables/{name}.csv")]

    def blocks(names: tuple[str, ...]) -> tuple[Any, ...]:
        of_each = (
            figure(name.removeprefix("figure-")) if name.startswith("figure-") else table(name)
            for name in names
        )
        return tuple(block for found_blocks in of_each for block in found_blocks)

    deviations = (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8")
    sections = (
        *(report.ReportSection(name, title, blocks(parts)) for name, title, parts in CHAPTERS),
        report.ReportSection(
            "settings",
            "Methods and deviations",
            (
                report.ReportTable(
                    "method-settings",
                    "Settings of the methods",
                    "As resolved; conf/ says where each comes from.",
                    _method_settings(config),
                ),
                *(
                    report.ReportTable(f"deviations-{number}", title, _DEVIATIONS, rows)
                    for number, (title, rows) in enumerate(markdown_tables(deviations).items(), 1)
                ),
            ),
            folded=True,
        ),
    )
    return report.ReportContent(
        title=f"Explaining chest X-ray models: {config.name}",
        banner=banner,
        statement=tuple(statement),
        verdicts=(
            *(report.claims_verdict(part.frame) for part in table("claims")),
            *(report.table1_verdict(part.frame) for part in table("table1")),
            *(report.shortcuts_verdict(part.frame) for part in table("shortcuts")),
        ),
        facts=_facts(config, found),
        browser=_browser(config, made) if embed else None,
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
            f"{title}: {note}"
            for title, each in made.items()
            for note in each.artifact.manifest["notes"]
        ),
        provenance=_provenance(made),
        budget=_budget(config, made),
        stages=report.ReportTable(
            "stages",
            "Stages",
            f"{_SECONDS} The longest first.",
            pd.DataFrame(
                [
                    {
                        "stage": title,
                        "key": each.key[:12],
                        "in this run": "from the store" if each.hit else "made",
                        "seconds": each.artifact.manifest["seconds"],
                    }
                    for title, each in made.items()
                ]
            ).sort_values("seconds", ascending=False, kind="stable"),
        ),
        next_commands={
            "make status": "what another run would do, and what it would find in the store",
            'make reproduce ARGS="attribution.iba.beta=20"': "the same with another β",
            "python -m pipeline seed=0,1,2 -m": "three seeds, one run folder each",
        },
    )


def _real_scored(config: PipelineConfig) -> bool:
    """Whether the films with zone scores that are measured are real ones."""
    brixia = config.brixia
    return brixia.source is not ScoredFilms.none and (
        brixia.source is ScoredFilms.files or brixia.test is TestFilms.cohen
    )


def _scored_statement(config: PipelineConfig, made: Mapping[str, Made]) -> list[str]:
    """What the second half rests on; nothing where there is none."""
    brixia = config.brixia
    if brixia.source is ScoredFilms.none:
        return []

    def folds(title: str) -> pd.Series:
        path = made[title].artifact.folder / "images.csv"
        return pd.read_csv(path, usecols=["fold"])["fold"].value_counts()

    own = folds("index brixia")
    phantoms, cohen = brixia.source is ScoredFilms.phantoms, brixia.test is TestFilms.cohen
    kind = "phantoms" if phantoms else f"of BrixIA's {_BRIXIA_FILMS:,}"
    learnt = int(own.get("train", 0) + own.get("val", 0))
    measured = (
        f"{int(folds('index cohen').sum()):,} of the public Cohen subset"
        if cohen
        else f"{int(own.get('test', 0)):,} {kind}"
    )
    text = (
        f"Films with zone scores: learnt on {learnt:,} {kind}, measured on {measured}; detectors"
        " and regressor are fine-tuned from the classifier that is explained; the detectors of"
        f" {brixia.detector.primary.value} are explained; lungs {_LUNGS[brixia.lungs.source]}."
    )
    if phantoms or cohen or int(own.sum()) < _BRIXIA_FILMS:
        text += " No number of theirs is a reproduction of the paper."
    return [text]


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


def _method_settings(config: PipelineConfig) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "method": method,
                "settings": ", ".join(
                    f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
                    for name, value in section(getattr(config.attribution, method)).items()
                ),
            }
            for method in config.attribution.methods
        ]
    )


def _browser(config: PipelineConfig, made: Mapping[str, Made]) -> Any:
    """Films of each finding, as many as ``report.max_images`` allows."""
    from evaluation.examples import EXAMPLE_RULE, choose_examples
    from evaluation.image_browser import ImageBrowser

    methods = config.attribution.methods
    roles = {
        **{role: role for role in ("pack", "select", "tables")},
        "predict": f"predict {config.train.primary.value}",
        **{f"maps_{method}": f"attribute {method}" for method in methods},
    }
    folders = {role: made[title].artifact.folder for role, title in roles.items()}
    evaluated = EvaluatedFilms.read(config, folders)
    limit = config.report.max_images
    each = max(1, limit // evaluated.samples["finding"].nunique())
    chosen = choose_examples(evaluated.samples, evaluated.predicted, each)[:limit]
    rule = f"At most {each} of each finding, {len(chosen)} in all. {EXAMPLE_RULE}"
    return ImageBrowser(rule, evaluated.examples(chosen.tolist(), methods))


def _budget(config: PipelineConfig, made: Mapping[str, Made]) -> Any:
    from evaluation.report import ReportTable

    caption = _SECONDS
    if config.name == EXPERIMENT:
        caption += (
            " The budget is for two quiet cores and experiment=demo without further settings, 30"
            " minutes in all with the report."
        )
    seconds = {title: each.artifact.manifest["seconds"] for title, each in made.items()}
    return ReportTable("budget", "Parts of the run", caption, budget_table(config.name, seconds))


def _provenance(made: Mapping[str, Made]) -> dict[str, object]:
    manifests = [each.artifact.manifest for each in made.values()]
    last = made["tables"].artifact.manifest["provenance"]
    commit = last["git"]["commit"] or "unknown"
    return {
        "commit": commit + (" with uncommitted changes" if last["git"]["dirty"] else ""),
        "python": last["python"],
        **dict(sorted(last["packages"].items())),  # a manifest that was read back is sorted
        **dict(sorted(last["hardware"].items())),
        "seconds to make it all": seconds_text(sum(manifest["seconds"] for manifest in manifests)),
    }
