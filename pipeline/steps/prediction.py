"""prediction, classification: a model's outputs on the test fold, and how good they are."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from evaluation.config import BootstrapConfig
from pipeline.shards import Compute, run_shards, shard_folders
from pipeline.step import Inputs, Source, Step, Work

if TYPE_CHECKING:
    from data.packing import PackedFilms


@dataclass(frozen=True)
class Prediction(Step):
    """A model's outputs on the test fold: a classifier's logits, a regressor's scores."""

    version: ClassVar = 3
    code: ClassVar = ("models/densenet.py", "models/frozen_densenet.py", "models/prediction.py")
    model: Source
    index: Source
    pack: Source
    threads: int
    shard: int = 1024
    batch: int = 32  # films in one forward pass

    def run(self, work: Work) -> None:
        from data.packing import PackedFilms

        names = read_test_names(work[self.index], PackedFilms(work[self.pack]))
        if not names:
            raise ValueError("no film of the test fold is present: nothing to predict on")
        run_shards(work, len(names), self.shard, self.prepare)
        (work.folder / "images.txt").write_text("\n".join(names), encoding="utf-8")

    def prepare(self, inputs: Inputs) -> Compute:
        from models.prediction import predict
        from pipeline.steps.loaded_model import LoadedModel
        from pipeline.steps.packed_films import film_batches

        loaded = LoadedModel.load(
            inputs[self.model], inputs[self.pack], inputs.machine, self.threads
        )
        names = read_test_names(inputs[self.index], loaded.films)

        def compute(folder: Path, rows: slice) -> None:
            batches = film_batches(loaded.films, names[rows], self.batch, loaded.device)
            np.save(folder / "logits.npy", predict(loaded.frozen, batches, loaded.device))

        return compute


def read_test_names(index: Path, films: "PackedFilms") -> list[str]:
    """Names of the test fold's films that could be packed, in the index's order."""
    from pipeline.steps.packed_films import readable_images

    images = readable_images(index, films)
    return images.loc[images["fold"] == "test", "image"].tolist()


def read_outputs(folder: Path) -> tuple[list[str], np.ndarray]:
    """Image names and outputs float32 (N, C) of a finished prediction."""
    names = (folder / "images.txt").read_text(encoding="utf-8").split("\n")
    shards = [np.load(shard / "logits.npy") for shard in shard_folders(folder)]
    return names, np.concatenate(shards)


def read_probabilities(folder: Path, samples: pd.DataFrame) -> np.ndarray:
    """Probability float64 (n,) of each sample's target, of a classifier's finished prediction."""
    from scipy.special import expit

    names, logits = read_outputs(folder)
    rows = pd.Series(np.arange(len(names)), index=names)[samples["image"]].to_numpy()
    scores: np.ndarray = expit(logits[rows, samples["target"].to_numpy()].astype(np.float64))
    return scores


@dataclass(frozen=True)
class Classification(Step):
    """AUC and average precision of a classifier on the test fold.

    ``dataset`` and ``model_name`` are what the table calls them.
    """

    version: ClassVar = 3
    code: ClassVar = ("evaluation/classification.py", "evaluation/bootstrap.py")
    prediction: Source
    index: Source
    labels: tuple[str, ...]
    dataset: str
    model_name: str
    bootstrap: BootstrapConfig
    seed: int

    def run(self, work: Work) -> None:
        from evaluation.classification import classification_table
        from evaluation.paper_tables import write_csv

        names, logits = read_outputs(work[self.prediction])
        images = pd.read_csv(work[self.index] / "images.csv", dtype={"image": str})
        images = images.set_index("image").loc[names]
        known = np.isin(self.labels, images.columns)
        labels, logits = list(np.array(self.labels)[known]), logits[:, known]
        if not known.all():
            unknown = ", ".join(np.array(self.labels)[~known])
            work.note(f"without {unknown}, of which these films' labels say nothing")
        table = classification_table(
            self.dataset,
            self.model_name,
            labels,
            images[labels].to_numpy(),
            logits,
            images["patient"].to_numpy(),
            self.bootstrap,
            self.seed,
        )
        write_csv(table, work.folder / "classification.csv")
        scores = pd.DataFrame(logits, columns=[f"logit_{label}" for label in labels])
        labelled = images[["patient", *labels]].reset_index()
        labelled.insert(0, "model", self.model_name)
        scores = pd.concat([labelled, scores], axis="columns")
        scores.to_csv(work.folder / "classification_samples.csv", index=False)
        undefined = table.loc[table["auc"].isna(), "class"].tolist()
        if undefined:
            work.note(f"no AUC for {', '.join(undefined)}: no positive or no negative test film")
