"""docs/extending.md does what it says: its files are taken out of it and run."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from attribution.base import SCORES
from attribution.config import OWN_METHODS, Score
from attribution.methods import METHODS, register_method
from data.config import DatasetConfig, Source
from data.nih import read_nih
from data.packing import read_square
from evaluation.own_metrics import OWN_METRICS, register_metric
from pipeline.config import ConfigError, PipelineConfig, compose_config
from pipeline.plan import plan_run
from pipeline.run import run_pipeline
from pipeline.store import Store
from tests.untrained import UNTRAINED

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
METHOD, METRIC, DATA_SET = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
SETTINGS = (
    *UNTRAINED,
    "attribution.methods=[occlusion,random]",
    "evaluation.metrics=[localization,kept]",
    "evaluation.max_images=6",
    "evaluation.bootstrap.resamples=20",
    "evaluation.claims.resamples=20",
)


def run_file(code: str) -> dict[str, Any]:
    """What a file holds once it was imported."""
    content: dict[str, Any] = {"__name__": "file_of_a_user"}
    exec(code, content)
    return content


@pytest.fixture
def files() -> Any:
    known = dict(METHODS)
    yield {name: run_file(code) for name, code in (("method", METHOD), ("metric", METRIC))}
    for name in METHODS.keys() - known.keys():
        del METHODS[name]
    OWN_METHODS.clear()
    OWN_METRICS.clear()


def test_the_method_s_maps_are_what_its_tiles_take_away(files):
    class Corner(nn.Module):
        """Its one output is the sum of the top left quarter of the first channel."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, 0, :4, :4].sum((1, 2))[:, None]

    settings = files["method"]["OcclusionConfig"](tiles=2)
    images = torch.randn(3, 3, 8, 8)
    found = files["method"]["Occlusion"](settings)(
        Corner(),
        images,
        torch.zeros(3, dtype=torch.int64),
        score=SCORES[Score.logit],
        seeds=[0] * 3,
    )
    expected = torch.zeros(3, 8, 8)
    expected[:, :4, :4] = images[:, 0, :4, :4].sum((1, 2))[:, None, None]
    torch.testing.assert_close(found.maps, expected)


def test_the_metric_asks_for_the_film_of_which_only_the_highest_pixels_stay(files):
    images, maps = torch.randn(2, 3, 4, 5), torch.rand(2, 4, 5)
    seen = []

    def score(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return images.sum((1, 2, 3))

    settings = files["metric"]["KeptConfig"](share=0.25)
    found = files["metric"]["kept"](score, images, torch.zeros(2), maps, settings)
    highest = maps >= maps.flatten(1).topk(5).values[:, -1, None, None]
    torch.testing.assert_close(seen[0], torch.where(highest[:, None], images, 0))
    np.testing.assert_array_equal(found["kept_probability"], seen[0].sum((1, 2, 3)).double())


def test_a_run_with_both_has_their_rows_and_keys_that_follow_their_settings(files, tmp_path):
    config = compose_config([*SETTINGS, f"paths.outputs={tmp_path}"])
    run_pipeline(config, tmp_path / "day" / "run")
    tables = tmp_path / "day" / "run" / "tables"
    table1 = pd.read_csv(tables / "table1.csv")
    assert {"occlusion", "random"} <= set(table1["method"])
    kept = pd.read_csv(tables / "own_kept.csv").set_index("method")
    samples = pd.read_csv(tables / "own_kept_samples.csv")
    assert list(kept.index) == ["occlusion", "random"]
    means = samples.groupby("method")["value"].mean()
    assert kept["value"].to_dict() == pytest.approx(means.to_dict(), rel=1e-5)
    assert samples["value"].between(0, 1).all()

    before = keys(config, tmp_path)
    OWN_METHODS["occlusion"].tiles = 2
    OWN_METRICS["kept"].settings.share = 0.2
    changed = {title for title, key in keys(config, tmp_path).items() if key != before[title]}
    assert changed == {
        *("attribute occlusion", "evaluate localization occlusion"),
        *("evaluate kept occlusion", "evaluate kept random", "tables", "claims", "figures"),
    }


def keys(config: PipelineConfig, outputs: Path) -> dict[str, str]:
    store = Store(outputs / "store")
    order = plan_run(config, store.digests).order
    store.digests.close()
    return {stage.title: stage.key for stage in order}


def test_a_file_is_the_command_with_its_own_names_known(tmp_path):
    (tmp_path / "kept.py").write_text(METRIC)
    arguments = ("evaluation.metrics=[localisation]", f"paths.outputs={tmp_path}")
    command = [sys.executable, "kept.py", *arguments]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "unknown localisation; known: localization" in done.stdout.replace("\n", " ")
    assert "kept" in done.stdout


def test_a_name_that_is_taken_is_refused(files):
    with pytest.raises(ValueError, match="there is a method 'iba' already"):
        register_method("iba", object, None)
    with pytest.raises(ValueError, match="there is a metric 'kept' already"):
        register_metric("kept", dict, None)
    register_metric("road", dict, None)
    with pytest.raises(ConfigError, match="road is a metric of the project"):
        compose_config([])


def test_without_its_file_a_method_is_unknown():
    with pytest.raises(ConfigError, match=r"attribution\.methods: unknown occlusion"):
        compose_config(["attribution.methods=[occlusion]"])


def test_a_table_of_films_becomes_a_folder_that_the_pipeline_reads(tmp_path):
    films = []
    for number in range(6):
        grey = np.random.default_rng(number).integers(0, 256, (64, 64), dtype=np.uint8)
        Image.fromarray(grey).save(tmp_path / f"film {number}.png")
        film = {"file": f"film {number}.png", "patient": number // 2, "test": int(number > 3)}
        films.append({**film, "labels": ["No Finding", "Mass|Effusion"][number % 2]})
    films[5] |= {"finding": "Mass", "x": 8, "y": 16, "w": 32, "h": 4}
    pd.DataFrame(films).to_csv(tmp_path / "films.csv", index=False)
    run_file(DATA_SET)["lay_out"](tmp_path / "films.csv", tmp_path / "laid out")

    index = read_nih(tmp_path / "laid out", DatasetConfig(source=Source.files, val_fraction=0.5))
    assert len(index.problems) == 0
    assert index.found == index.expected == 6
    assert index.images["patient"].tolist() == [0, 0, 1, 1, 2, 2]
    assert index.images["Effusion"].tolist() == [0, 1, 0, 1, 0, 1]
    assert set(index.images["fold"]) == {"train", "val", "test"}
    box = index.boxes.iloc[0]
    assert (box["finding"], box["x"], box["y"], box["w"], box["h"]) == ("Mass", 128, 256, 512, 64)
    with Image.open(tmp_path / "laid out" / "images" / box["image"]) as film:
        np.testing.assert_array_equal(film, Image.open(tmp_path / "film 5.png"))


def test_films_of_16_bits_and_turned_ones_are_laid_out_as_they_are_seen(tmp_path):
    seen = np.zeros((90, 60), np.uint8)
    seen[40:60, 10:40] = np.add.outer(np.arange(20), np.arange(30)) * 4 + 50  # what the box holds
    Image.fromarray(seen.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    on_its_side = Image.fromarray(seen).transpose(Image.Transpose.ROTATE_90)
    on_its_side.save(tmp_path / "phone.jpg", exif=exif, quality=100)
    box = {"finding": "Mass", "x": 10, "y": 40, "w": 30, "h": 20}
    films = [
        {"file": file, "patient": number, "labels": "Mass", "test": number % 2, **box}
        for number, file in enumerate(["deep.png", "phone.jpg"] * 2)
    ]
    pd.DataFrame(films).to_csv(tmp_path / "films.csv", index=False)
    run_file(DATA_SET)["lay_out"](tmp_path / "films.csv", tmp_path / "laid out")

    index = read_nih(tmp_path / "laid out", DatasetConfig(source=Source.files, val_fraction=0.5))
    assert index.problems.empty
    for image, x, y, w, h in index.boxes[["image", "x", "y", "w", "h"]].itertuples(index=False):
        with Image.open(tmp_path / "laid out" / "images" / image) as film:
            np.testing.assert_allclose(np.asarray(film, int), seen, atol=3)
        square = read_square(tmp_path / "laid out" / "images" / image, 60)[0]
        x, y, w, h = (round(value * 60 / 1024) for value in (x, y, w, h))
        assert square[y : y + h, x : x + w].min() > 40
        square = np.array(square)
        square[y : y + h, x : x + w] = 0
        assert square.max() < 10
