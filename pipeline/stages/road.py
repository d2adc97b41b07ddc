"""evaluate: ROAD, the score while pixels are imputed away by their rank."""

from pathlib import Path

from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.shards import run_shards
from pipeline.stages.attribute import read_maps, read_samples

_SHARD = 4  # samples; part of the key through the batches that it fills


def stage(
    config: PipelineConfig, method: str, train: Stage, pack: Stage, select: Stage, maps: Stage
) -> Stage:
    settings = section(config.evaluation.road)
    del settings["methods"]
    return Stage(
        name="evaluate",
        version=1,
        settings={
            "metric": "road",
            "road": settings,
            "shard": _SHARD,
            "threads": config.threads,
        },
        inputs={"train": train, "pack": pack, "select": select, "maps": maps},
        run=run,
        sources=("evaluation/road.py", "evaluation/perturbation.py"),
        variant=f"road {method}",
    )


def run(task: Task) -> None:
    import torch

    from evaluation.road import road, road_samples
    from evaluation.sampling import first_turns
    from pipeline.loaded_model import LoadedModel

    config = task.config.evaluation.road
    loaded = LoadedModel.of(task)
    samples = first_turns(read_samples(task.inputs["select"]), config.max_samples)

    def compute(folder: Path, rows: slice) -> None:
        part = samples.iloc[rows]
        maps = read_maps(
            task.inputs["maps"], part["sample"].tolist(), task.config.attribution.shard_size
        )
        morf, lerf = road(
            loaded.probability,
            loaded.images(part),
            loaded.targets(part),
            torch.from_numpy(maps),
            part["seed"].tolist(),
            config,
        )
        named = part[["sample", "image", "patient", "finding"]]
        road_samples(named, morf, lerf).to_csv(folder / "samples.csv", index=False)

    run_shards(task.folder, len(samples), _SHARD, compute, task.progress)
