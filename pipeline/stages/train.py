"""train: the classifier, from the configured initial weights, on the train fold."""

from collections.abc import Mapping
from pathlib import Path

from models.config import Loss
from pipeline.config import ConfigError, PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.keys import file_sha256
from pipeline.store import RESUME

_NAMED_WEIGHTS = ("random", "imagenet")


def stage(config: PipelineConfig, index: Stage, pack: Stage) -> Stage:
    settings = section(config.train)
    del settings["num_workers"]
    init, raw = config.model.init, {}
    if init not in _NAMED_WEIGHTS:
        if not Path(init).is_file():
            raise ConfigError(f"model.init: {init} is neither a file nor random or imagenet")
        init, raw = "file", {"init": file_sha256(Path(init))}
    return Stage(
        name="train",
        version=1,
        settings={"init": init, "train": settings, "seed": config.seed, "threads": config.threads},
        inputs={"index": index, "pack": pack},
        run=run,
        sources=("models",),
        variant=config.train.loss.value,
        raw=raw,
    )


def run(task: Task) -> None:
    from data.nih import FINDINGS
    from data.packing import PackedFilms
    from models.checkpoints import initial_model, save_checkpoint
    from models.losses import positive_weights
    from models.training import train
    from pipeline.films import LabelledFilms, readable_images
    from pipeline.torch_runtime import start_torch

    config = task.config
    device = start_torch(config)
    films = PackedFilms(task.inputs["pack"])
    images = readable_images(task.inputs["index"], films)
    labels = list(FINDINGS[: config.dataset.num_labels])
    model = initial_model(config.model.init, len(labels), config.seed)
    facts: dict[str, object] = {"side": films.side, "epochs": config.train.epochs}
    if config.train.epochs == 0:
        task.note("train.epochs=0: the initial weights are used as they are")
    else:
        train_fold = LabelledFilms(films, images, "train", labels)
        pos_weight = None
        if config.train.loss is Loss.weighted_bce:
            pos_weight, clipped = positive_weights(train_fold.labels, config.train.pos_weight_max)
            if clipped:
                names = ", ".join(labels[position] for position in clipped)
                task.note(f"positive weight clipped at {config.train.pos_weight_max:g}: {names}")

        def on_progress(
            epoch: int, epochs: int, done: int, batches: int, losses: Mapping[str, float]
        ) -> None:
            task.progress((epoch - 1) * batches + done, epochs * batches)

        result = train(
            model,
            train_fold,
            LabelledFilms(films, images, "val", labels),
            config.train,
            seed=config.seed,
            folder=task.folder / RESUME,
            device=device,
            pos_weight=pos_weight,
            on_progress=on_progress,
        )
        # Seconds differ between equal runs; the manifest holds them, the artifact must not.
        history = result.history.drop(columns="seconds")
        history.to_csv(task.folder / "history.csv", index=False)
        best = history.loc[history["epoch"] == result.best_epoch].iloc[0]
        facts["best_epoch"] = result.best_epoch
        task.note(
            f"{len(train_fold):,} films, best epoch {result.best_epoch} of {len(history)}:"
            f" validation loss {best['val_loss']:.4f}, mean AUC {best['val_auc']:.3f}"
        )
    save_checkpoint(task.folder / "model.safetensors", model, labels, facts)
