"""Which film Fig. 1 and 3a show, on results written by hand."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.brixia_score import ZONES
from data.packing import pack
from pipeline.config import compose_config
from pipeline.executors.serial import SerialExecutor
from pipeline.graph import Task
from pipeline.stages.brixia_figures import run

SIDE = 32
SCORES = ([3, 3, 3, 3, 3, 3], [0, 3, 1, 3, 0, 0], [3, 0, 0, 0, 0, 2], [3, 3, 3, 3, 3, 0])
IMAGES = [f"{name}.png" for name in "abcd"]  # of the last no lung was found


def shard(folder: Path, name: str, values: np.ndarray) -> Path:
    (folder / "shards" / "00000").mkdir(parents=True)
    np.save(folder / "shards" / "00000" / f"{name}.npy", values.astype(np.float32))
    return folder


def inputs(root: Path) -> dict[str, Path]:
    found = {name: root / name for name in ("tables", "pack", "zones", "films")}
    for folder in found.values():
        folder.mkdir()
    for image in IMAGES:
        Image.new("L", (SIDE, SIDE), 90).save(root / "films" / image)
    films = pd.DataFrame({"image": IMAGES, "path": IMAGES})
    pack(films, root / "films", root / "pack", SIDE, 8, threads=1)
    labels = np.zeros((3, SIDE, SIDE), np.uint8)
    for zone in range(6):
        top, left = 10 * (zone % 3), 16 * (zone // 3)
        labels[:, top : top + 8, left : left + 12] = zone + 1
    np.save(root / "zones" / "labels.npy", labels)
    np.save(root / "zones" / "boxes.npy", np.zeros((3, 6, 4), int))
    pd.DataFrame({"image": IMAGES[:3]}).to_csv(root / "zones" / "films.csv", index=False)
    detected = {"model": "bce", "Detector3": [0, 1, 1, 1], "logit_Detector3": [0.1, 0.3, 0.2, 0.4]}
    pd.DataFrame(detected).to_csv(root / "tables" / "detectors_samples.csv", index=False)

    heat = np.zeros((4, SIDE, SIDE))
    heat[:, 12, 2] = 3  # in zone B
    heat[:, 0, 0] = 1  # in zone A
    for model, methods, finding, target in (
        ("detectors", ("iba", "inverse_iba"), "Detector3", 2),
        ("severity", ("regression_iba_dv",), "severity", 9.0),
    ):
        select, predict = root / f"{model}_select", root / f"{model}_predict"
        select.mkdir()
        samples = pd.DataFrame(SCORES, columns=list(ZONES)).assign(
            sample=range(4), image=IMAGES, finding=finding, target=target
        )
        samples.to_csv(select / "samples.csv", index=False)
        shard(predict, "logits", np.full((4, 3), np.log(3)))
        (predict / "images.txt").write_text("\n".join(IMAGES))
        found |= {f"{model}_select": select, f"{model}_predict": predict}
        for method in methods:
            found[f"{model}_maps_{method}"] = shard(root / f"{model}_{method}", "maps", heat)
    return found


@pytest.fixture
def task(tmp_path) -> Task:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "made").mkdir()
    config = compose_config(["experiment=smoke"])
    notes: list[str] = []
    found = inputs(tmp_path / "inputs")
    return Task(
        inputs=found,
        config=config,
        folder=tmp_path / "made",
        progress=lambda done, total: None,
        note=notes.append,
        executor=SerialExecutor(config.executor),
    )


def record(task: Task) -> dict[str, dict]:
    return json.loads((task.folder / "figures.json").read_text())


def test_the_film_with_most_zones_of_3_and_others_whose_lungs_were_found_is_shown(task):
    run(task, ())
    alt = record(task)["fig1_scored"]["alt"]
    assert "Film b.png with six lung zones of scores 0, 3, 1, 3, 0, 0" in alt
    assert "predicted probability 0.75" in alt
    assert "IBA: 75 % in zones of score 3." in alt  # zone B of A and B
    severity = record(task)["fig3a"]["alt"]
    assert "Film b.png" in severity
    assert "Predicted severity 1.1 of 18 · scored 7 of 18" in severity
    for name in ("fig1_scored", "fig3a", "roc_detectors"):
        assert (task.folder / f"{name}.png").exists()
        assert (task.folder / f"{name}.pdf").exists()
    assert [name for name, said in record(task).items() if said["films"]] == [
        "fig1_scored",
        "fig3a",
    ]


def test_figures_that_cannot_be_drawn_are_left_out_with_a_note(task):
    lost = dict(task.inputs)
    del lost["detectors_maps_iba"]
    samples = pd.read_csv(lost["severity_select"] / "samples.csv")
    samples.assign(**dict.fromkeys(ZONES, 0)).to_csv(
        lost["severity_select"] / "samples.csv", index=False
    )
    notes: list[str] = []
    spoilt = dataclasses.replace(task, inputs=lost, note=notes.append)
    run(spoilt, ())
    assert notes == [
        "no figure 1: the run has no map of iba",
        "no figure 3a: no explained film has zones of score 3 and others",
    ]
    assert not {"fig1_scored", "fig3a"} & record(spoilt).keys()
