"""The content of a run's report, from its results in the store and its tables and figures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluation.html_pictures import Picture
from evaluation.html_report import (
    ReportContent,
    ReportFigure,
    ReportSection,
    ReportTable,
    shortcuts_verdict,
    summarise_problems,
    table1_verdict,
)
from evaluation.html_tables import markdown_tables
from evaluation.method_names import method_label
from pipeline.chapters import CHAPTERS, FIGURES, TABLES
from pipeline.config import PipelineConfig, section
from pipeline.progress import seconds_text
from pipeline.provenance import ROOT
from pipeline.report_films import browser
from pipeline.report_results import Made, figure_steps, seconds_by_step
from pipeline.report_scores import scores_section
from pipeline.statement import banner_and_statement
from pipeline.steps.gallery import RECORD
from pipeline.task import DETECTORS, FINDINGS, SEVERITY
from pipeline.unmet import DAGGER, Unmet
from pipeline.unmet import TABLE as OPERATING_POINTS

if TYPE_CHECKING:  # it draws with matplotlib, for which no other command waits
    from evaluation.image_browser import ImageBrowser

_PROBLEM_KINDS = 12  # kinds of problems that the report lists; problems.csv holds every single one
_SCORED_CHAPTER = "brixia"  # of the detectors and the regressor; all others are of the findings
_DEVIATIONS = "Where the paper, the published code and this project differ: docs/deviations.md."
_SECONDS = (
    "Seconds of wall time, from start to end of the process that finished the result, whichever run"
    " it was: of work in several processes not their sum, after a resume the last process alone."
)
_UNMET = (
    f"{DAGGER} No beta meets this method's rule on validation films (table Operating points): its"
    " maps are no explanation in its own sense."
)
_TEXTS = dict.fromkeys(("reason", "paper", "control", "control_verdict"), str)
_NEXT_COMMANDS = {
    "make status": "what another run would do, and what it would find in the store",
    'make reproduce ARGS="attribution.iba.beta=20"': "the same with another β",
    "python -m pipeline seed=0,1,2 -m": "three seeds, one run folder each",
}


def report_content(
    config: PipelineConfig, made: Mapping[str, Made], folder: Path, problems: pd.DataFrame
) -> ReportContent:
    """The report of a run whose tables and figures lie in ``folder``.

    ValueError for figures or claims that an earlier version of the project made.
    """
    folders = {title: each.artifact.folder for title, each in made.items()}
    manifests = {title: each.artifact.manifest for title, each in made.items()}
    count = len(pd.read_csv(folders["index findings"] / "images.csv", usecols=["image"]))
    banner, statement = banner_and_statement(config, folders, count)
    named = manifests["tables"]["key_parts"]["settings"]["datasets"]
    datasets = {task: named[task] for task in (FINDINGS, DETECTORS, SEVERITY) if task in named}
    unmet = Unmet.read(folder / "tables", config, datasets)
    tables = _tables(folder / "tables", unmet)
    figures = _figures(folder, [folders[title] for title in figure_steps(made)], config, unmet)
    blocks: dict[str, ReportTable | ReportFigure] = {each.id: each for each in figures}
    blocks |= tables
    chapters = (
        *(
            ReportSection(
                name, title, tuple(blocks[part] for part in parts if part in blocks), folded=True
            )
            for name, title, parts in CHAPTERS
        ),
        _settings_chapter(config),
        _run_chapter(made, problems),
    )
    own, kind = config.dataset.cohort, config.dataset.source.value
    model = manifests[f"train findings {config.train.primary.value}"]
    return ReportContent(
        title=f"Explaining chest X-ray models: {config.name}",
        banner=banner,
        statement=statement,
        claims=_claims(folder / "tables", unmet),
        verdicts=tuple(
            verdict(tables[name].frame)
            for name, verdict in (("table1", table1_verdict), ("shortcuts", shortcuts_verdict))
            if name in tables
        )
        + ((unmet.sentence(),) if unmet.pairs else ()),
        facts={
            "films": f"{count:,} ({kind if own == 'nih' else own})",
            "side": f"{config.dataset.side} px",
            "outputs": len(model["key_parts"]["settings"]["labels"]),
            "seed": config.seed,
            "methods": len(config.attribution.methods),
        },
        scores=scores_section(folder / "tables", made, unmet),
        browser=_browser(config, made) if config.report.embed_images else None,
        sections=tuple(chapter for chapter in chapters if chapter.blocks),
    )


def _tables(folder: Path, unmet: Unmet) -> dict[str, ReportTable]:
    """By name, those that the run made; rows of an unmet operating point are marked."""
    tables = {}
    for name, (title, caption) in TABLES.items():
        if not (path := folder / f"{name}.csv").exists():
            continue
        frame = pd.read_csv(path, na_values=["n/a"], keep_default_na=False)
        marks = unmet.rows(frame, _tasks_of(name))
        if any(marks) and name != OPERATING_POINTS:
            frame, caption = frame.assign(unmet=marks), f"{caption} {_UNMET}"
        tables[name] = ReportTable(name, title, caption, frame, f"tables/{name}.csv")
    return tables


def _figures(
    folder: Path, steps: list[Path], config: PipelineConfig, unmet: Unmet
) -> list[ReportFigure]:
    """Those that the run drew. ``folder``: the run's; ``steps``: of the steps that drew them."""
    figures = []
    for step in steps:
        if not (step / RECORD).exists():
            raise ValueError(f"{step}: figures of an earlier version of the project: run it anew")
        for name, drawn in json.loads((step / RECORD).read_text(encoding="utf-8")).items():
            if name not in FIGURES:
                continue
            title, caption = FIGURES[name]
            caption = f"{caption} {drawn['caption']}".strip()
            if methods := unmet.named(drawn["methods"], _tasks_of(f"figure-{name}")):
                caption += f" Of {', '.join(map(method_label, methods))}: {_UNMET}"
            path = f"figures/{name}.png"
            picture = None
            if config.report.embed_images or not drawn["films"]:
                png = (folder / path).read_bytes()
                picture = Picture(drawn["alt"], png, photo=drawn["films"])
            else:
                caption = f"Not embedded, for it shows films: {path} in the run's folder. {caption}"
            pdf = f"figures/{name}.pdf" if (folder / f"figures/{name}.pdf").exists() else None
            figures.append(ReportFigure(f"figure-{name}", title, caption, picture, pdf))
    return figures


def _tasks_of(block: str) -> tuple[str, ...]:
    """The tasks that a table or figure may show, by its chapter."""
    of_scored = any(block in blocks for name, _, blocks in CHAPTERS if name == _SCORED_CHAPTER)
    return (DETECTORS, SEVERITY) if of_scored else (FINDINGS,)


def _settings_chapter(config: PipelineConfig) -> ReportSection:
    settings = [
        {
            "method": method,
            "settings": ", ".join(
                f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
                for name, value in section(getattr(config.attribution, method)).items()
            ),
        }
        for method in config.attribution.methods
    ]
    deviations = markdown_tables((ROOT / "docs" / "deviations.md").read_text(encoding="utf-8"))
    return ReportSection(
        "settings",
        "Methods and deviations",
        (
            ReportTable(
                "method-settings",
                "Settings of the methods",
                "As resolved; conf/ says where each comes from.",
                pd.DataFrame(settings),
            ),
            *(
                ReportTable(f"deviations-{number}", title, _DEVIATIONS, rows)
                for number, (title, rows) in enumerate(deviations.items(), 1)
            ),
        ),
        folded=True,
    )


def _browser(config: PipelineConfig, made: Mapping[str, Made]) -> "ImageBrowser":
    """Of the films that the figures show."""
    by_key = {each.key: each.artifact.folder for each in made.values()}
    inputs = {
        made[title].step: {
            field: by_key[key]
            for field, key in made[title].artifact.manifest["key_parts"]["inputs"].items()
            if key in by_key
        }
        for title in figure_steps(made)
    }
    return browser(
        inputs["figures"],
        inputs.get("scored_figures"),
        score=config.attribution.score,
        hash_ids=config.report.hash_ids,
        limit=config.report.max_images,
    )


def _claims(folder: Path, unmet: Unmet) -> pd.DataFrame:
    """claims.csv, marked where a method that decides a claim is."""
    if not (folder / "claims_details.csv").exists():
        raise ValueError(f"{folder}: claims of an earlier version of the project: run it anew")
    claims = pd.read_csv(folder / "claims.csv", na_values=["n/a"], dtype=_TEXTS)
    return claims.assign(unmet=unmet.rows(claims, ()))


def _run_chapter(made: Mapping[str, Made], problems: pd.DataFrame) -> ReportSection:
    """What went wrong, what steps noted, what made it, how long it took, what to do next."""
    manifests = {title: each.artifact.manifest for title, each in made.items()}
    notes = [
        {"step": title, "note": note}
        for title, manifest in manifests.items()
        for note in manifest["notes"]
    ]
    steps = pd.DataFrame(
        [
            {
                "step": title,
                "key": each.key[:12],
                "in this run": "from the store" if each.hit else "made",
                "seconds": manifests[title]["seconds"],
            }
            for title, each in made.items()
        ]
    ).sort_values("seconds", ascending=False, kind="stable")
    said = f"{len(problems):,} in all; tables/problems.csv lists every one."
    if problems.empty:
        said = "None: every file that the lists name was found and read."

    def pairs(values: Mapping[str, object], *names: str) -> pd.DataFrame:
        rows = [(name, str(value)) for name, value in values.items()]
        return pd.DataFrame(rows, columns=pd.Index(names))

    return ReportSection(
        "run",
        "This run",
        (
            ReportTable(
                "problems",
                "Data problems",
                said,
                summarise_problems(problems, _PROBLEM_KINDS),
                "tables/problems.csv",
            ),
            ReportTable("notes", "Notes of the steps", "", pd.DataFrame(notes)),
            ReportTable("provenance", "Provenance", "", pairs(_provenance(manifests), "what", "")),
            ReportTable("seconds", "Parts of the run", _SECONDS, seconds_by_step(made)),
            ReportTable("steps", "Steps", f"{_SECONDS} The longest first.", steps),
            ReportTable("next", "What next", "", pairs(_NEXT_COMMANDS, "command", "what it does")),
        ),
        folded=True,
    )


def _provenance(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, object]:
    last = manifests["tables"]["provenance"]
    commit = last["git"]["commit"] or "unknown"
    seconds = sum(manifest["seconds"] for manifest in manifests.values())
    return {
        "commit": commit + (" with uncommitted changes" if last["git"]["dirty"] else ""),
        "python": last["python"],
        **dict(sorted(last["packages"].items())),  # a manifest that was read back is sorted
        **dict(sorted(last["hardware"].items())),
        "seconds to make it all": seconds_text(seconds),
    }
