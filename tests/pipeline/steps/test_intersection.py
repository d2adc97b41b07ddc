"""Eq. 7's binary map against the truth: the pixels that are above in every layer, counted."""

import numpy as np
import pandas as pd

from pipeline.steps.intersection import BinaryIntersection
from tests.pipeline.steps.running import given, run_step

SIDE = 8


def test_only_what_all_layers_hold_above_their_thresholds_counts(tmp_path):
    fine, coarse = np.zeros((2, 3, SIDE, SIDE), np.float32)
    fine[:, 2:4, 2:6], coarse[:, 2:6, 4:6] = 5, 7  # both: rows 2-3, columns 4-5
    fine[2] = 0  # a map that marks nothing
    for name, maps in (("fine", fine), ("coarse", coarse)):
        for number, part in enumerate((maps[:2], maps[2:])):
            shard = tmp_path / name / "shards" / f"{number:05d}"
            shard.mkdir(parents=True)
            np.save(shard / "maps.npy", part)
    truth = np.zeros((3, SIDE, SIDE), bool)
    truth[:, 2:4, 4:8] = True  # 8 pixels, of which both layers hold 4
    empty = truth.copy()
    empty[0] = False
    (tmp_path / "truth").mkdir()
    for place, masks in (("mask_true", truth), ("box_true", empty)):
        np.save(tmp_path / "truth" / f"{place}.npy", masks)
    (tmp_path / "truth" / "places.txt").write_text("mask_true\nbox_true")
    (tmp_path / "samples").mkdir()
    samples = pd.DataFrame({"sample": range(3), "image": list("abc"), "patient": range(3)})
    samples.assign(finding="Mass").to_csv(tmp_path / "samples" / "samples.csv", index=False)
    layers = {name: given(tmp_path / name) for name in ("fine", "coarse")}
    step = BinaryIntersection(
        given(tmp_path / "samples"), given(tmp_path / "truth"), layers, thresholds=(1.0, 1.0)
    )
    run_step(step, tmp_path / "run")
    rows = pd.read_csv(tmp_path / "run" / "samples.csv")
    by_place = rows.groupby("place")[["sample", "iou"]].agg(list)
    assert by_place.loc["mask_true"].tolist() == [[0, 1, 2], [0.5, 0.5, 0]]
    assert by_place.loc["box_true"].tolist() == [[1, 2], [0.5, 0]]
