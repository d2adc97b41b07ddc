"""select: the (film, finding, box) samples that are explained and evaluated."""

import pandas as pd

from pipeline.config import PipelineConfig
from pipeline.graph import Stage, Task
from pipeline.keys import sample_seeds


def stage(config: PipelineConfig, index: Stage, pack: Stage) -> Stage:
    return Stage(
        name="select",
        version=2,
        settings={
            "findings": config.evaluation.findings,
            "max_images": config.evaluation.max_images,
            "seed": config.seed,
        },
        inputs={"index": index, "pack": pack},
        run=run,
        sources=("evaluation/sampling.py",),
    )


def run(task: Task) -> None:
    from data.nih import FINDINGS
    from data.packing import PackedFilms
    from evaluation.sampling import select_samples

    config = task.config
    boxes = pd.read_csv(task.inputs["index"] / "boxes.csv", dtype={"image": str})
    test = boxes[boxes["fold"] == "test"]
    readable = test[test["image"].isin(PackedFilms(task.inputs["pack"]).table["image"])]
    if (findings := config.evaluation.findings) is not None:
        readable = readable[readable["finding"].isin(findings)]
    labels = FINDINGS[: config.dataset.num_labels]
    # The same boxes whatever the seed, so that runs of several seeds compare on them.
    samples = select_samples(readable, labels, config.evaluation.max_images, seed=0)
    samples["seed"] = sample_seeds(config.seed, samples["image"], samples["finding"])
    samples.to_csv(task.folder / "samples.csv", index=False)
    task.note(
        f"{len(samples):,} of {len(boxes):,} boxes are evaluated, on"
        f" {samples['image'].nunique():,} films of {samples['patient'].nunique():,} patients"
    )
    if len(test) < len(boxes):
        task.note(f"{len(boxes) - len(test):,} boxes lie on films outside the test fold: left out")
