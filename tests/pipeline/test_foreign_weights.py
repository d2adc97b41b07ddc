"""Others' weights through the whole pipeline, without training, and one film explained by them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.models import densenet121

from data.nih import FINDINGS
from data.packing import PackedFilms
from models.foreign_weights import TORCHXRAYVISION_LABELS
from pipeline import explain
from pipeline.config import compose_config
from pipeline.run import run_pipeline
from pipeline.runner import StepFailedError
from pipeline.steps.prediction import read_outputs
from pipeline.store import Store
from tests.untrained import UNTRAINED
from tests.weights_of_others import (
    save_as_published,
    save_as_torchxrayvision,
    torchxrayvision_films,
    torchxrayvision_net,
)

SETTINGS = (
    *UNTRAINED,
    "attribution.methods=[grad_cam]",
    "evaluation.metrics=[localization]",
    "evaluation.max_images=8",
    "evaluation.bootstrap.resamples=20",
    "evaluation.claims.simulations=20",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_every_table_and_a_film_s_explanation_come_from_the_weights_as_they_are(
    outputs, tmp_path, monkeypatch
):
    name = "nih-densenet121-best.pt"
    network = torchxrayvision_net()
    save_as_torchxrayvision(network, tmp_path / name, monkeypatch)
    config = compose_config(
        [*SETTINGS, f"paths.outputs={outputs}", f"model.init={tmp_path / name}"]
    )
    run = outputs / "day" / name
    run_pipeline(config, run)
    for table in ("table1", "localization", "classification"):
        assert len(pd.read_csv(run / "tables" / f"{table}.csv")) > 0
    assert "initial weights are used as they are" in (run / "pipeline.log").read_text()

    films = PackedFilms(artifact(run, "pack findings"))
    images, predicted = read_outputs(artifact(run, "prediction findings weighted_bce"))
    with torch.no_grad():
        theirs = network(torchxrayvision_films(torch.from_numpy(films.load(images))))
    expected = theirs[:, [TORCHXRAYVISION_LABELS.index(label) for label in FINDINGS[:8]]]
    np.testing.assert_allclose(predicted, expected, atol=2e-3)

    film = tmp_path / "film.png"
    Image.fromarray(films.load(images[:1])[0]).save(film)
    out = tmp_path / "out"
    command = ["--run", str(run), "--image", str(film), "--method", "grad_cam", "--out", str(out)]
    assert explain.main(command) == 0
    said = json.loads((out / "explanation.json").read_text())["probabilities"]
    assert list(said) == list(FINDINGS[:8])
    np.testing.assert_allclose(list(said.values()), expected.sigmoid()[0], atol=1e-3)


def artifact(run: Path, title: str) -> Path:
    made = json.loads((run / "run.json").read_text())["steps"][title]
    return Store(run.parents[1] / "store").folder(made["step"], made["key"])


def test_weights_without_the_labels_of_the_films_are_refused_by_name(outputs, tmp_path):
    path = tmp_path / "classification_detectors"
    save_as_published(densenet121(num_classes=3), path)
    config = compose_config([*SETTINGS, f"paths.outputs={outputs}", f"model.init={path}"])
    with pytest.raises(StepFailedError, match=r"no trained output for Atelectasis.*Detector01"):
        run_pipeline(config, outputs / "day" / "detectors")
