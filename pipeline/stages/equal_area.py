"""evaluate: how far the output falls when each map takes away the same number of pixels."""

from pathlib import Path

from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.shards import run_shards
from pipeline.stages.attribute import read_maps, read_samples

_SHARD = 16  # samples; part of the key through the batches that it fills


def stage(
    config: PipelineConfig, method: str, train: Stage, pack: Stage, select: Stage, maps: Stage
) -> Stage:
    return Stage(
        name="evaluate",
        version=1,
        settings={
            "metric": "equal_area",
            "equal_area": section(config.evaluation.equal_area),
            "shard": _SHARD,
            "threads": config.threads,
        },
        inputs={"train": train, "pack": pack, "select": select, "maps": maps},
        run=run,
        sources=("evaluation/equal_area.py", "evaluation/perturbation.py"),
        variant=f"equal_area {method}",
    )


def run(task: Task) -> None:
    import torch

    from evaluation.equal_area import equal_area_changes, equal_area_samples
    from pipeline.loaded_model import LoadedModel

    config = task.config.evaluation.equal_area
    loaded = LoadedModel.of(task)
    samples = read_samples(task.inputs["select"])

    def compute(folder: Path, rows: slice) -> None:
        part = samples.iloc[rows]
        maps = read_maps(
            task.inputs["maps"], part["sample"].tolist(), task.config.attribution.shard_size
        )
        changes = equal_area_changes(
            loaded.probability,
            loaded.images(part),
            loaded.targets(part),
            torch.from_numpy(maps),
            config,
        )
        named = part[["sample", "image", "patient", "finding"]]
        equal_area_samples(named, changes, config).to_csv(folder / "samples.csv", index=False)

    run_shards(task.folder, len(samples), _SHARD, compute, task.progress)
