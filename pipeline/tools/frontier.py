"""``python -m pipeline.tools.frontier [key=value ...]``: speed of a bottleneck against its maps.

On the positives of the validation fold that operating points are found on: seconds per image of IBA
at each dense block, at its beta of the run, for several numbers of steps and noise samples and with
the network in bfloat16, and Spearman's correlation of the maps with those of the configured setting
in float32. The row of that setting itself is with other seeds: what noise alone changes. On
phantoms also how well the maps find the lesions, whose masks are rendered anew: the published
layout has them of test films alone. Writes ``frontier.csv`` beside the runs and changes no setting;
what conf/attribution/fast.yaml says was chosen from it.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attribution.config import BottleneckConfig
from data.config import DatasetConfig, Source
from models.config import FrozenPrecision
from pipeline.config import ConfigError, PipelineConfig, compose_config
from pipeline.explained_task import ExplainedTask
from pipeline.keys import sample_seeds
from pipeline.plan import before, plan_run
from pipeline.progress import progress_bar, say
from pipeline.runner import StepFailedError, machine_of, obtain_all
from pipeline.step import Inputs, Progress, Step
from pipeline.steps.explainer import Explainer
from pipeline.steps.maps import read_statistics
from pipeline.store import Store
from pipeline.task import FINDINGS

if TYPE_CHECKING:  # torch is imported when there is something to explain
    from pipeline.steps.loaded_model import LoadedModel

METHODS = ("iba", "iba_block2", "iba_block1", "inverse_iba")
SETTINGS = (
    *((10, 5, False, FrozenPrecision.float32), (10, 2, False, FrozenPrecision.float32)),
    *((10, 2, True, FrozenPrecision.float32), (10, 2, True, FrozenPrecision.bf16)),
    *((5, 10, False, FrozenPrecision.float32), (5, 5, False, FrozenPrecision.float32)),
    *((5, 2, False, FrozenPrecision.float32), (5, 2, True, FrozenPrecision.float32)),
    (3, 4, False, FrozenPrecision.float32),
)
"""(steps, noise samples, antithetic, precision); the learning rate times the steps stays the
same."""
OTHER_SEED = 1
NUM_FILMS = 16


class Subject(NamedTuple):
    """The primary model with validation films to explain it on."""

    config: PipelineConfig
    explained: ExplainedTask
    inputs: Inputs
    loaded: "LoadedModel"
    samples: pd.DataFrame  # image, finding, target, seed


def main(overrides: list[str]) -> int:
    try:
        config = compose_config(overrides)
        store = Store(config.paths.store)
        findings = plan_run(config, store.digests).tasks[FINDINGS]
        with progress_bar("frontier") as progress:
            table = frontier(subject(config, findings, store), progress)
    except (ConfigError, StepFailedError, ValueError, OSError) as error:
        say(f"error: {error}")
        return 1
    path = Path(config.paths.outputs) / "frontier.csv"
    table.to_csv(path, index=False, float_format="%.4g")
    say(table.to_string(index=False, float_format="%.3f"))
    say(f"table: {path}")
    return 0


def subject(config: PipelineConfig, explained: ExplainedTask, store: Store) -> Subject:
    """The steps that it needs are made now if they are absent."""
    from pipeline.steps.loaded_model import LoadedModel
    from pipeline.steps.operating_points import predicted_positives, validation_films

    task, explainers = explained.task, explained.explainers
    model, films = task.models[task.primary], task.learnt
    points = [step for each in explainers.values() for step in each.operating_points.values()]
    wanted: list[Step] = [films.index, films.pack, model, *explained.statistics.values()]
    order = before(*wanted, *(step for step in points if isinstance(step, Step)))
    obtain_all(order, store, config)
    folders = {step.key: store.folder(step.name, step.key) for step in order}
    inputs = Inputs(folders, machine_of(config))
    loaded = LoadedModel.load(inputs[model], inputs[films.pack], inputs.machine, config.threads)
    fold = validation_films(inputs[films.index], loaded.films, config.seed)
    samples = predicted_positives(fold, task.labels, NUM_FILMS, loaded)
    seeds = sample_seeds(config.seed, samples["image"], samples["finding"])
    return Subject(config, explained, inputs, loaded, samples.assign(seed=seeds))


def frontier(subject: Subject, progress: Progress) -> pd.DataFrame:
    """Columns method, steps, noise_samples, antithetic, precision, learning_rate,
    seconds_per_image, speed (times that of the configured setting), rank_correlation (mean over the
    films) and its lowest; on phantoms iou (of as many highest pixels as the lesion has) and
    average_precision, means over the films."""
    from evaluation.localization_metrics import localization_metrics
    from evaluation.sanity import spearman

    config, samples = subject.config, subject.samples
    phantoms = config.dataset.source is Source.phantoms
    lesions = lesion_masks(config.dataset, samples) if phantoms else None
    rows = []
    methods = [name for name in METHODS if name in config.attribution.methods]
    for number, name in enumerate(methods):
        explainer = subject.explained.explainers[name].found(subject.inputs)
        full: BottleneckConfig = explainer.settings
        own = samples["seed"].to_numpy()
        reference, unit = _explain(subject, explainer, full, own, FrozenPrecision.float32)
        trials = [(full, precision) for precision in FrozenPrecision] + [
            (
                replace(
                    full,
                    steps=steps,
                    noise_samples=count,
                    antithetic=antithetic,
                    learning_rate=full.learning_rate * full.steps / steps,
                ),
                precision,
            )
            for steps, count, antithetic, precision in SETTINGS
        ]
        for settings, precision in trials:
            maps, seconds = _explain(subject, explainer, settings, own + OTHER_SEED, precision)
            alike = spearman(maps, reference)
            hits: dict[str, float] = {}
            if lesions is not None:
                means = localization_metrics(
                    maps, lesions, config.evaluation.localization_metrics
                ).mean()
                hits = {
                    "iou": means["iou_box_area"],
                    "average_precision": means["average_precision"],
                }
            rows.append(
                {
                    "method": name,
                    "steps": settings.steps,
                    "noise_samples": settings.noise_samples,
                    "antithetic": settings.antithetic,
                    "precision": precision.value,
                    "learning_rate": settings.learning_rate,
                    "seconds_per_image": seconds,
                    "speed": unit / seconds,
                    "rank_correlation": float(np.nanmean(alike)),
                    "lowest": float(np.nanmin(alike)),
                    **hits,
                }
            )
        progress(number + 1, len(methods))
    return pd.DataFrame(rows)


def lesion_masks(dataset: DatasetConfig, samples: pd.DataFrame) -> NDArray[np.bool_]:
    """bool (N, side, side) of the findings of phantoms; columns image and finding."""
    from data.packing import resize_mask
    from data.phantom.cohort import cohort
    from data.phantom.film import render_film

    cases = {case.image: case for case in cohort(dataset.phantom)}
    masks = []
    for image, finding in zip(samples["image"], samples["finding"], strict=True):
        case = cases[image]
        film = render_film(case.patient, case.visit, case.findings, dataset.phantom)
        masks.append(resize_mask(film.masks[finding], dataset.side))
    return np.stack(masks)


def _explain(
    subject: Subject,
    explainer: Explainer,
    settings: BottleneckConfig,
    seeds: Sequence[int] | NDArray[np.integer],
    precision: FrozenPrecision,
) -> tuple[NDArray[np.float32], float]:
    """Maps (N, H, W) and seconds per image, also where no run may take that precision: it is slow
    there, and its maps are the same."""
    from models.bfloat16 import explained_network

    loaded, batch_size = subject.loaded, subject.config.attribution.batch_size
    samples = subject.samples.assign(seed=seeds)
    statistics = {tap: subject.explained.statistics[tap] for tap in explainer.taps}
    explain = replace(explainer, settings=settings).build(
        read_statistics(subject.inputs, statistics)
    )
    network = explained_network(loaded.model, precision)
    maps, seconds = [], 0.0
    for start in range(0, len(samples), batch_size):
        batch = samples.iloc[start : start + batch_size]
        images, targets = loaded.images(batch), loaded.targets(batch)
        begun = time.perf_counter()
        found = explain(
            network,
            images,
            targets,
            score=explainer.score_function,
            seeds=batch["seed"].tolist(),
        )
        seconds += time.perf_counter() - begun
        maps.append(found.maps.numpy())
    return np.concatenate(maps), seconds / len(samples)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
