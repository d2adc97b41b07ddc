"""evaluate: the shortcut audit, how well a linear model tells findings without looking for one."""

from pathlib import Path

import numpy as np

from pipeline.config import PipelineConfig, section
from pipeline.graph import RawFolder, Stage, Task

_FILMS = 2048  # of the training and validation folds at most, in the order of their names


def stage(config: PipelineConfig, films: Stage | RawFolder, index: Stage, pack: Stage) -> Stage:
    return Stage(
        name="evaluate",
        version=1,
        settings={
            "metric": "shortcuts",
            "shortcuts": section(config.evaluation.shortcuts),
            "bootstrap": section(config.evaluation.bootstrap),
            "num_labels": config.dataset.num_labels,
            "films": _FILMS,
            "seed": config.seed,
        },
        inputs={
            # Where letters, leads and tubes lie is known of phantoms only.
            **({"phantoms": films} if isinstance(films, Stage) else {}),
            "index": index,
            "pack": pack,
        },
        run=run,
        sources=("evaluation/shortcuts.py",),
        variant="shortcuts",
    )


def run(task: Task) -> None:
    from data.nih import FINDINGS
    from data.packing import PackedFilms
    from evaluation.shortcuts import shortcut_audit
    from evaluation.tables import write_csv
    from pipeline.films import readable_images

    config = task.config
    packed = PackedFilms(task.inputs["pack"])
    images = readable_images(task.inputs["index"], packed)
    # The test fold stays unseen by whatever may shape the films.
    images = images[(images["fold"] != "test") & images["age"].notna()].head(_FILMS)
    names = images["image"].tolist()
    regions = None
    if "phantoms" in task.inputs:
        regions = _regions(task.inputs["phantoms"], names, packed.side)
    table = shortcut_audit(
        packed.load(names),
        images[list(FINDINGS[: config.dataset.num_labels])],
        images["patient"].to_numpy(),
        images["view"].to_numpy(),
        images["age"].to_numpy(),
        images["follow_up"].to_numpy(),
        regions,
        config.evaluation.shortcuts,
        config.evaluation.bootstrap,
        config.seed,
    )
    write_csv(table, task.folder / "shortcuts.csv")
    exceeding = table[table["exceeds"]]
    for row in exceeding.itertuples():
        task.note(f"{row[1]} can be told by {row.features} alone with an AUC of {row.auc:.2f}")


def _regions(folder: Path, names: list[str], side: int) -> np.ndarray:
    from data.integrity import read_grey
    from data.packing import resize_and_crop
    from data.phantom.nih_layout import MARKS

    return np.stack([resize_and_crop(read_grey(folder / MARKS / name), side) > 0 for name in names])
