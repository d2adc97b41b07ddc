"""The content of a run's report, from its results in the store and its tables and figures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluation.html_report import (
    Picture,
    ReportContent,
    ReportFigure,
    ReportSection,
    ReportTable,
    claims_verdict,
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
from pipeline.statement import banner_and_statement
from pipeline.steps.evaluated_films import EvaluatedFilms
from pipeline.steps.gallery import RECORD
from pipeline.store import Artifact
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
_NEXT_COMMANDS = {
    "make status": "what another run would do, and what it would find in the store",
    'make reproduce ARGS="attribution.iba.beta=20"': "the same with another β",
    "python -m pipeline seed=0,1,2 -m": "three seeds, one run folder each",
}


@dataclass(frozen=True)
class Made:
    """A step's result as a run found or made it."""

    key: str
    hit: bool
    artifact: Artifact

    @property
    def step(self) -> str:
        """The step's name: of all titles that begin with it."""
        return str(self.artifact.manifest["step"])


def figure_steps(made: Mapping[str, Made]) -> list[str]:
    return [title for title, each in made.items() if each.step in ("figures", "scored_figures")]


def seconds_by_step(made: Mapping[str, Made]) -> pd.DataFrame:
    """Columns step, results, seconds: of all results that steps of a name made, and their sum."""
    rows = pd.DataFrame(
        {
            "step": [each.step for each in made.values()],
            "seconds": [each.artifact.manifest["seconds"] for each in made.values()],
        }
    )
    table = rows.groupby("step")["seconds"].agg(["count", "sum"]).reset_index()
    table.columns = pd.Index(["step", "results", "seconds"])
    table = table.sort_values("seconds", ascending=False, kind="stable", ignore_index=True)
    total = {"step": "sum", **table.drop(columns="step").sum()}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    return table.astype({"results": int})


def report_content(
    config: PipelineConfig, made: Mapping[str, Made], folder: Path, problems: pd.DataFrame
) -> ReportContent:
    """The report of a run whose tables and figures lie in ``folder``.

    ValueError for figures that an earlier version of the project drew.
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
            ReportSection(name, title, tuple(blocks[part] for part in parts if part in blocks))
            for name, title, parts in CHAPTERS
        ),
        _settings_chapter(config),
    )
    seconds = pd.DataFrame(
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
    own, kind = config.dataset.cohort, config.dataset.source.value
    model = manifests[f"train findings {config.train.primary.value}"]
    return ReportContent(
        title=f"Explaining chest X-ray models: {config.name}",
        banner=banner,
        statement=statement,
        verdicts=tuple(
            verdict(tables[name].frame)
            for name, verdict in (
                ("claims", claims_verdict),
                ("table1", table1_verdict),
                ("shortcuts", shortcuts_verdict),
            )
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
        browser=_browser(config, folders) if config.report.embed_images else None,
        sections=tuple(chapter for chapter in chapters if chapter.blocks),
        problems=ReportTable(
            "problems",
            "Data problems",
            "Counted by kind; tables/problems.csv lists every one.",
            summarise_problems(problems, _PROBLEM_KINDS),
            "tables/problems.csv",
        ),
        problem_count=len(problems),
        notes=tuple(
            f"{title}: {note}"
            for title, manifest in manifests.items()
            for note in manifest["notes"]
        ),
        provenance=_provenance(manifests),
        seconds=ReportTable("seconds", "Parts of the run", _SECONDS, seconds_by_step(made)),
        steps=ReportTable("steps", "Steps", f"{_SECONDS} The longest first.", seconds),
        next_commands=_NEXT_COMMANDS,
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
                picture = Picture(drawn["alt"], (folder / path).read_bytes())
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


def _browser(config: PipelineConfig, folders: Mapping[str, Path]) -> "ImageBrowser":
    """Films of each finding, as many as ``report.max_images`` allows."""
    from evaluation.examples import EXAMPLE_RULE, choose_examples
    from evaluation.image_browser import ImageBrowser

    methods = config.attribution.methods
    evaluated = EvaluatedFilms.read(
        folders.get("box_samples findings") or folders["label_samples findings"],
        folders.get(f"pack {config.dataset.test.value}") or folders["pack findings"],
        {method: folders[f"maps findings {method}"] for method in methods},
        hash_ids=config.report.hash_ids,
        score=config.attribution.score,
        prediction=folders[f"prediction findings {config.train.primary.value}"],
        iou=folders["tables"] / "table1_samples.csv",
    )
    limit = config.report.max_images
    each = max(1, limit // evaluated.samples["finding"].nunique())
    chosen = choose_examples(evaluated.samples, evaluated.predicted, each)[:limit]
    rule = f"At most {each} of each finding, {len(chosen)} in all. {EXAMPLE_RULE}"
    return ImageBrowser(rule, evaluated.examples(chosen.tolist(), methods))


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
