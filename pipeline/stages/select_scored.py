"""select: the films with zone scores that are explained: positives of each detector; severities."""

import pandas as pd

from data.brixia_score import DETECTORS, ZONES
from pipeline.config import PipelineConfig
from pipeline.graph import Stage, Task
from pipeline.keys import sample_seeds
from pipeline.stages.finetune import SEVERITY


def detectors_stage(config: PipelineConfig, index: Stage, pack: Stage) -> Stage:
    """(film, detector) pairs of the test fold in which a zone shows what the detector looks for."""
    return Stage(
        name="select",
        version=2,
        settings={"detectors": config.brixia.max_samples, "seed": config.seed},
        inputs={"index": index, "pack": pack},
        run=run_detectors,
        sources=("evaluation/sampling.py", "data/brixia_score.py"),
        variant="detectors",
    )


def severity_stage(config: PipelineConfig, index: Stage, pack: Stage) -> Stage:
    """Films of the test fold; the target is their true global score."""
    return Stage(
        name="select",
        version=1,
        settings={"severity": config.brixia.max_severity_films, "seed": config.seed},
        inputs={"index": index, "pack": pack},
        run=run_severity,
        sources=("evaluation/sampling.py", "data/brixia_score.py"),
        variant=SEVERITY,
    )


def run_detectors(task: Task) -> None:
    films = _test_films(task)
    pairs = [
        films[films[detector] == 1].assign(finding=detector, film=lambda f: f.index)
        for detector in DETECTORS
    ]
    wanted = pd.concat(pairs).sort_values(["film", "finding"], kind="stable", ignore_index=True)
    _write(task, wanted, _chosen(task, wanted, list(DETECTORS), task.config.brixia.max_samples))


def run_severity(task: Task) -> None:
    films = _test_films(task).assign(finding=SEVERITY)
    samples = _chosen(task, films, [SEVERITY], task.config.brixia.max_severity_films)
    # A regressor's target is a number, not the place of an output.
    _write(task, films, samples.assign(target=samples["score"].astype(float)))


def _test_films(task: Task) -> pd.DataFrame:
    from data.packing import PackedFilms
    from pipeline.films import readable_images

    images = readable_images(task.inputs["index"], PackedFilms(task.inputs["pack"]))
    return images[images["fold"] == "test"].reset_index(drop=True)


def _chosen(
    task: Task, films: pd.DataFrame, labels: list[str], max_samples: int | None
) -> pd.DataFrame:
    from evaluation.sampling import select_samples

    # The same films whatever the seed, so that runs of several seeds compare on them.
    samples = select_samples(films, labels, max_samples, seed=0, truth=(*ZONES, "score"))
    seeds = sample_seeds(task.config.seed, samples["image"], samples["finding"])
    return samples.assign(seed=seeds)


def _write(task: Task, films: pd.DataFrame, samples: pd.DataFrame) -> None:
    samples.to_csv(task.folder / "samples.csv", index=False)
    task.note(
        f"{len(samples):,} of {len(films):,} are explained, on {samples['image'].nunique():,} films"
        f" of {samples['patient'].nunique():,} patients"
    )
