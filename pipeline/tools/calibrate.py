"""``python -m pipeline.tools.calibrate [key=value ...]``: betas by a rule, on validation films.

The rule, fixed before any map is compared with a box or a mask:

1. IBA at block 3 takes the largest beta of the grid at which the films behind the bottleneck keep
   at least ``KEPT`` of their predicted probability on average: the fewest bits that still suffice.
2. Every other bottleneck takes the beta of the grid whose median total information is nearest to
   IBA's, by ratio: maps of comparable bits differ in where they lie, not in how much they say.

Films: positives of the validation fold, the same number for each finding; for the bottlenecks of
the severity regressor, validation films with zone scores. It writes
``calibration.csv`` (every beta tried) beside the runs and prints what conf/attribution should say;
it changes no setting.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from attribution.config import BottleneckConfig, Score
from pipeline.config import ConfigError, PipelineConfig, compose_config
from pipeline.explained_task import ExplainedTask
from pipeline.keys import sample_seeds
from pipeline.plan import before, plan_run
from pipeline.progress import progress_bar, say
from pipeline.runner import StepFailedError, machine_of, obtain_all
from pipeline.step import Inputs, Progress, Source, Step
from pipeline.steps.explainer import Explainer
from pipeline.store import Store
from pipeline.task import FINDINGS, SEVERITY

if TYPE_CHECKING:  # torch is imported when there is something to explain
    from attribution.base import Attribution
    from pipeline.steps.loaded_model import LoadedModel

GRID = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
KEPT = 0.9
PER_FINDING = 2
SEVERITIES = 16  # films for the regressor
REFERENCE = "iba"


class Measured(NamedTuple):
    """One method at one beta, over the films."""

    bits: float  # median total information
    score: float  # mean predicted probability
    behind: float  # the same behind the bottleneck


class Subject(NamedTuple):
    """A model with validation films to explain it on."""

    config: PipelineConfig
    explained: ExplainedTask
    inputs: Inputs
    loaded: "LoadedModel"
    samples: pd.DataFrame  # image, target, seed
    score: Score


def main(overrides: list[str]) -> int:
    try:
        config = compose_config(overrides)
        store = Store(config.paths.store)
        tasks = plan_run(config, store.digests).tasks
        with progress_bar("calibrate") as progress:
            subjects = [
                subject(config, tasks[name], store)
                for name in (FINDINGS, SEVERITY)
                if name in tasks
            ]
            table = calibrate(config, subjects, progress)
    except (ConfigError, StepFailedError, ValueError, OSError) as error:
        say(f"error: {error}")
        return 1
    path = Path(config.paths.outputs) / "calibration.csv"
    table.to_csv(path, index=False, float_format="%.6g")
    say(table.to_string(index=False))
    for method, rows in table[table["chosen"]].groupby("method", sort=False):
        say(f"attribution.{method}.beta={rows['beta'].iloc[0]:g}")
    say(f"table: {path}")
    return 0


def subject(config: PipelineConfig, explained: ExplainedTask, store: Store) -> Subject:
    """The task's primary model and its validation films; made now if they are absent."""
    from pipeline.steps.loaded_model import LoadedModel

    task = explained.task
    model, films = task.models[task.primary], task.learnt
    wanted: list[Step] = [films.index, films.pack, model, *explained.statistics.values()]
    obtain_all(before(*wanted), store, config)
    folders = {step.key: store.folder(step.name, step.key) for step in wanted}
    inputs = Inputs(folders, machine_of(config))
    loaded = LoadedModel.load(inputs[model], inputs[films.pack], inputs.machine, config.threads)
    fold = _validation_films(config, inputs, films.index, films.pack)
    if task.name == SEVERITY:
        samples = severity_samples(config, fold)
    else:
        samples = validation_samples(config, fold, task.labels)
    score = Score.output if task.name == SEVERITY else Score.sigmoid
    return Subject(config, explained, inputs, loaded, samples, score)


def calibrate(
    config: PipelineConfig, subjects: Sequence[Subject], progress: Progress
) -> pd.DataFrame:
    """The rule's table (see ``search``) for the bottlenecks among the methods of each task."""
    chosen = {
        method: each
        for each in subjects
        for method in each.explained.task.methods
        if isinstance(getattr(config.attribution, method), BottleneckConfig)
    }
    if REFERENCE not in chosen:
        raise ConfigError(f"attribution.methods: the others are matched to {REFERENCE}; add it")
    done = 0

    def measured(method: str, beta: float) -> Measured:
        nonlocal done
        done += 1
        progress(done, done + 1)
        return _measure(chosen[method], method, beta)

    return search(list(chosen), measured)


def search(methods: Sequence[str], measure: Callable[[str, float], Measured]) -> pd.DataFrame:
    """Columns method, beta, bits, score, behind, chosen: a row for every beta that was tried.

    ``measure`` is called once for each; bits and the score behind IBA's bottleneck fall with beta.
    """
    found: dict[tuple[str, float], Measured] = {}

    def at(method: str, position: int) -> Measured:
        key = method, GRID[position]
        if key not in found:
            found[key] = measure(*key)
        return found[key]

    def first(holds: Callable[[int], bool]) -> int:
        """The first place of the grid where ``holds`` is true, and stays so."""
        low, high = 0, len(GRID)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle + 1, high)
        return low

    def too_little(position: int) -> bool:
        here = at(REFERENCE, position)
        return here.behind < KEPT * here.score

    chosen = {REFERENCE: max(first(too_little) - 1, 0)}
    bits = at(REFERENCE, chosen[REFERENCE]).bits
    for method in methods:
        if method == REFERENCE:
            continue
        below = first(lambda position, of=method: at(of, position).bits < bits)  # type: ignore[misc]
        beside = [k for k in (below - 1, below) if 0 <= k < len(GRID)]
        ratios = [abs(np.log(max(at(method, k).bits, 1e-9) / max(bits, 1e-9))) for k in beside]
        chosen[method] = beside[int(np.argmin(ratios))]
    rows = [
        {"method": method, "beta": beta, **of._asdict(), "chosen": beta == GRID[chosen[method]]}
        for (method, beta), of in sorted(found.items())
    ]
    return pd.DataFrame(rows)


def validation_samples(
    config: PipelineConfig, fold: pd.DataFrame, labels: Sequence[str]
) -> pd.DataFrame:
    """``PER_FINDING`` positives of the validation ``fold`` for each of ``labels``, in its order."""
    parts = [
        fold[fold[finding] == 1].head(PER_FINDING)[["image"]].assign(finding=finding, target=k)
        for k, finding in enumerate(labels)
    ]
    samples = pd.concat(parts, ignore_index=True)
    if samples.empty:
        raise ValueError("the validation fold holds no positive film to calibrate on")
    seeds = sample_seeds(config.seed, samples["image"], samples["finding"])
    return samples.assign(seed=seeds)


def severity_samples(config: PipelineConfig, fold: pd.DataFrame) -> pd.DataFrame:
    """``SEVERITIES`` films of the validation ``fold`` with their true scores, in its order."""
    samples = fold.head(SEVERITIES).reset_index(drop=True)
    seeds = sample_seeds(config.seed, samples["image"], [SEVERITY] * len(samples))
    return samples[["image"]].assign(target=samples["score"].astype(float), seed=seeds)


def _validation_films(
    config: PipelineConfig, inputs: Inputs, index: Source, pack: Source
) -> pd.DataFrame:
    """The readable films of the validation fold, in a seeded order."""
    from data.packing import PackedFilms
    from pipeline.steps.packed_films import readable_images

    images = readable_images(inputs[index], PackedFilms(inputs[pack]))
    fold = images[images["fold"] == "val"]
    return fold.iloc[np.random.default_rng(config.seed).permutation(len(fold))]


def explanations(
    subject: Subject, samples: pd.DataFrame, method: str, settings: BottleneckConfig
) -> "Iterator[Callable[[], Attribution]]":
    """For each micro-batch of ``samples`` what explains it, its films already there."""
    from attribution.base import SCORES
    from pipeline.steps.maps import read_statistics

    attribution, loaded = subject.config.attribution, subject.loaded
    changed = replace(Explainer.of(method, attribution, subject.score), settings=settings)
    statistics = {tap: subject.explained.statistics[tap] for tap in changed.taps}
    explain = changed.build(read_statistics(subject.inputs, statistics))
    for start in range(0, len(samples), attribution.batch_size):
        batch = samples.iloc[start : start + attribution.batch_size]
        yield partial(
            explain,
            loaded.explained_by(method),
            loaded.images(batch),
            loaded.targets(batch),
            score=SCORES[subject.score],
            seeds=batch["seed"].tolist(),
        )


def _measure(subject: Subject, method: str, beta: float) -> Measured:
    settings = replace(getattr(subject.config.attribution, method), beta=beta)
    calls = explanations(subject, subject.samples, method, settings)
    parts = [explain().diagnostics for explain in calls]
    values = {
        name: np.concatenate([part[name].numpy() for part in parts])
        for name in ("bits", "score", "bottleneck_score")
    }
    return Measured(
        bits=float(np.median(values["bits"])),
        score=float(values["score"].mean()),
        behind=float(values["bottleneck_score"].mean()),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
