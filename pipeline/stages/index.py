"""index: which films there are, their labels, boxes and folds, and what is wrong with them."""

from typing import TYPE_CHECKING

from pipeline.config import PipelineConfig
from pipeline.graph import RawFolder, Stage, Task

if TYPE_CHECKING:
    from data.brixia_score import ScoreIndex
    from data.nih import NIHIndex


def stage(config: PipelineConfig, films: Stage | RawFolder) -> Stage:
    data = config.dataset
    return Stage(
        name="index",
        version=3,
        settings={
            "num_labels": data.num_labels,
            "val_fraction": data.val_fraction,
            "split_seed": data.split_seed,
        },
        inputs={"films": films},
        run=run,
        sources=("data/nih.py", "data/nih_files.py", "data/integrity.py", "data/splits.py"),
    )


def run(task: Task) -> None:
    from data.nih import read_nih

    index = read_nih(task.inputs["films"], task.config.dataset)
    index.boxes.to_csv(task.folder / "boxes.csv", index=False)
    record_index(task, index, f" and {len(index.boxes):,} boxes on them")


def record_index(task: Task, index: "NIHIndex | ScoreIndex", also: str = "") -> None:
    """Films and problems, and a note of how many there are, which ends in ``also``."""
    index.images.to_csv(task.folder / "images.csv", index=False)
    index.problems.to_csv(task.folder / "problems.csv", index=False)
    folds = index.images["fold"].value_counts()
    task.note(
        f"found {index.found:,} of {index.expected:,} films"
        f" (train {folds.get('train', 0):,}, val {folds.get('val', 0):,},"
        f" test {folds.get('test', 0):,}){also}"
    )
    if len(index.problems):
        task.note(f"{len(index.problems):,} problems are listed in problems.csv")
