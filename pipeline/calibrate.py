"""``python -m pipeline.calibrate [key=value ...]``: every bottleneck's beta, on validation films.

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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from attribution.config import BottleneckConfig, Score, required_taps
from pipeline.config import ConfigError, PipelineConfig, compose_config
from pipeline.graph import Progress, Stage, WorkerTask
from pipeline.keys import sample_seeds
from pipeline.plan import Plan, plan_run
from pipeline.progress import say, stage_progress
from pipeline.run import store_folder
from pipeline.runner import StageFailedError, obtain_all
from pipeline.stages.finetune import SEVERITY
from pipeline.store import Store

if TYPE_CHECKING:  # torch is imported when there is something to explain
    from attribution.base import Attribution
    from pipeline.loaded_model import LoadedModel

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


def main(overrides: list[str]) -> int:
    try:
        config = compose_config(overrides)
        store = Store(store_folder(config))
        plan = plan_run(config, store.digests)
        with stage_progress("calibrate") as progress:
            classifier, severity = (
                WorkerTask(folders, config) if folders else None
                for folders in (
                    of_classifier(plan, store, config),
                    _obtain(_of_regressor(plan), plan, store, config),
                )
            )
            assert classifier is not None
            table = calibrate(classifier, severity, progress)
    except (ConfigError, StageFailedError, ValueError, OSError) as error:
        say(f"error: {error}")
        return 1
    path = Path(config.paths.outputs) / "calibration.csv"
    table.to_csv(path, index=False, float_format="%.6g")
    say(table.to_string(index=False))
    for method, rows in table[table["chosen"]].groupby("method", sort=False):
        say(f"attribution.{method}.beta={rows['beta'].iloc[0]:g}")
    say(f"table: {path}")
    return 0


def calibrate(
    classifier: WorkerTask, severity: WorkerTask | None, progress: Progress
) -> pd.DataFrame:
    """The rule's table (see ``search``) for the bottlenecks among ``attribution.methods``, and with
    ``severity`` for those of the regressor."""
    from pipeline.loaded_model import LoadedModel

    config = classifier.config
    attribution = config.attribution

    def bottlenecks(names: list[str]) -> list[str]:
        return [n for n in names if isinstance(getattr(attribution, n), BottleneckConfig)]

    methods = bottlenecks(attribution.methods)
    if REFERENCE not in methods:
        raise ConfigError(f"attribution.methods: the others are matched to {REFERENCE}; add it")
    of_classifier = (classifier, LoadedModel.of(classifier), validation_samples(classifier))
    of_method: dict[str, Any] = dict.fromkeys(methods, (*of_classifier, Score.sigmoid))
    if severity is not None:
        of_regressor = (severity, LoadedModel.of(severity), severity_samples(severity))
        more = bottlenecks(config.brixia.regression_methods)
        of_method |= dict.fromkeys(more, (*of_regressor, Score.output))
        methods += more
    done = 0

    def measured(method: str, beta: float) -> Measured:
        nonlocal done
        done += 1
        progress(done, done + 1)
        task, loaded, samples, score = of_method[method]
        return _measure(task, loaded, samples, score, method, beta)

    return search(methods, measured)


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


def validation_samples(task: WorkerTask) -> pd.DataFrame:
    """``PER_FINDING`` positives of the validation fold for each finding, in a seeded order."""
    from data.nih import FINDINGS

    config, fold = task.config, _validation_films(task)
    parts = [
        fold[fold[finding] == 1].head(PER_FINDING)[["image"]].assign(finding=finding, target=k)
        for k, finding in enumerate(FINDINGS[: config.dataset.num_labels])
    ]
    samples = pd.concat(parts, ignore_index=True)
    if samples.empty:
        raise ValueError("the validation fold holds no positive film to calibrate on")
    seeds = sample_seeds(config.seed, samples["image"], samples["finding"])
    return samples.assign(seed=seeds)


def severity_samples(task: WorkerTask) -> pd.DataFrame:
    """``SEVERITIES`` films of the validation fold with their true scores, in a seeded order."""
    samples = _validation_films(task).head(SEVERITIES).reset_index(drop=True)
    seeds = sample_seeds(task.config.seed, samples["image"], [SEVERITY] * len(samples))
    return samples[["image"]].assign(target=samples["score"].astype(float), seed=seeds)


def _validation_films(task: WorkerTask) -> pd.DataFrame:
    """The readable films of the validation fold, in a seeded order."""
    from data.packing import PackedFilms
    from pipeline.films import readable_images

    images = readable_images(task.inputs["index"], PackedFilms(task.inputs["pack"]))
    fold = images[images["fold"] == "val"]
    return fold.iloc[np.random.default_rng(task.config.seed).permutation(len(fold))]


def explanations(
    task: WorkerTask,
    loaded: "LoadedModel",
    samples: pd.DataFrame,
    score: Score,
    method: str,
    settings: BottleneckConfig,
) -> "Iterator[Callable[[], Attribution]]":
    """For each micro-batch of ``samples`` what explains it, its films already there."""
    from attribution.base import SCORES
    from attribution.methods import build_method
    from pipeline.stages.statistics import read_statistics

    changed: dict[str, Any] = {method: settings}
    attribution = replace(task.config.attribution, **changed)
    statistics = read_statistics(task, required_taps(method, attribution))
    explain = build_method(method, attribution, statistics)
    for start in range(0, len(samples), attribution.batch_size):
        batch = samples.iloc[start : start + attribution.batch_size]
        yield partial(
            explain,
            loaded.explained_by(method),
            loaded.images(batch),
            loaded.targets(batch),
            score=SCORES[score],
            seeds=batch["seed"].tolist(),
        )


def _measure(
    task: WorkerTask,
    loaded: "LoadedModel",
    samples: pd.DataFrame,
    score: Score,
    method: str,
    beta: float,
) -> Measured:
    settings = replace(getattr(task.config.attribution, method), beta=beta)
    calls = explanations(task, loaded, samples, score, method, settings)
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


def of_classifier(plan: Plan, store: Store, config: PipelineConfig) -> dict[str, Path]:
    """Where the explained model, its films and its statistics lie; made now if they are absent."""
    model = plan.models[config.train.primary]
    wanted = {"index": plan.index, "pack": plan.pack, "train": model.train}
    wanted |= {f"statistics_{tap}": stage for tap, stage in model.statistics.items()}
    return _obtain(wanted, plan, store, config)


def _of_regressor(plan: Plan) -> dict[str, Stage]:
    """Nothing where there are no films with zone scores."""
    brixia = plan.brixia
    if brixia is None:
        return {}
    wanted = {
        "index": brixia.indices[0],
        "pack": brixia.packs[0],
        "train": brixia.trainings[SEVERITY],
    }
    return wanted | {f"statistics_{tap}": stage for tap, stage in brixia.statistics.items()}


def _obtain(
    wanted: dict[str, Stage], plan: Plan, store: Store, config: PipelineConfig
) -> dict[str, Path]:
    obtain_all(plan.before(*wanted.values()), store, config)
    return {role: store.folder(stage.name, stage.key) for role, stage in wanted.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
