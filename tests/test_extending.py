"""docs/extending.md does what it says: its files are taken out of it and run."""

import os
import re
import subprocess
import sys
from dataclasses import replace
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
from data.config import OWN_COHORTS
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
    "attribution.methods=[tiles,random]",
    "evaluation.metrics=[localization,kept]",
    "evaluation.max_images=6",
    "evaluation.bootstrap.resamples=20",
    "evaluation.claims.simulations=20",
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

    settings = files["method"]["TilesConfig"](tiles=2)
    images = torch.randn(3, 3, 8, 8)
    found = files["method"]["Tiles"](settings)(
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
    assert {"tiles", "random"} <= set(table1["method"])
    kept = pd.read_csv(tables / "own_kept.csv").set_index("method")
    samples = pd.read_csv(tables / "own_kept_samples.csv")
    assert list(kept.index) == ["tiles", "random"]
    means = samples.groupby("method")["value"].mean()
    assert kept["value"].to_dict() == pytest.approx(means.to_dict(), rel=1e-5)
    assert samples["value"].between(0, 1).all()

    before = keys(config, tmp_path)
    OWN_METHODS["tiles"].tiles = 2
    OWN_METRICS["kept"].settings.share = 0.2
    changed = {title for title, key in keys(config, tmp_path).items() if key != before[title]}
    assert {"maps findings tiles", "own_metric kept findings random"} <= changed
    others = {title for title in changed if not {"tiles", "kept"} & set(title.split())}
    assert others == {"tables", "claims", "figures findings"}


def keys(config: PipelineConfig, outputs: Path) -> dict[str, str]:
    store = Store(outputs / "store")
    order = plan_run(config, store.digests).order
    store.digests.close()
    return {step.title: step.key for step in order}


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
    with pytest.raises(ConfigError, match=r"attribution\.methods: unknown tiles"):
        compose_config(["attribution.methods=[tiles]"])


TINY = (
    "experiment=films",
    "dataset.cohort=mine",
    "model.init=random",
    "dataset.side=32",
    "train.epochs=0",
    "train.losses=[weighted_bce]",
    "attribution.methods=[random,gradient]",
    "evaluation.bootstrap.resamples=20",
    "evaluation.claims.simulations=20",
    "threads=1",
)
CHEAP = "evaluation.metrics=[localization,insertion_deletion]"
BOX = {"x": 10, "y": 40, "w": 30, "h": 20}


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """films.csv with a film of 16 bits and one on its side by turns, lit in the box alone; the last
    is damaged."""
    folder = tmp_path / "films"
    (folder / "deep").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    rows = []
    for number in range(24):
        seen = np.zeros((90, 60), np.uint8)
        seen[40:60, 10:40] = np.add.outer(np.arange(20), np.arange(30)) * 4 + 20 + number
        if number % 2:
            file = f"phone {number}.jpg"
            on_its_side = Image.fromarray(seen).transpose(Image.Transpose.ROTATE_90)
            on_its_side.save(folder / file, exif=exif, quality=100)
        else:
            file = f"deep/{number}.png"
            Image.fromarray(seen.astype(np.uint16) * 257).save(folder / file)
        labels = ("Mass", "Mass|Effusion", "")[number % 3]
        film = {"file": file, "patient": f"p{number // 2}", "test": int(number > 11)}
        film["labels"] = labels
        boxes = [{"finding": name, **BOX} for name in labels.split("|") if name]
        rows += [{**film, **box} for box in boxes or [{}]]
    (folder / "phone 23.jpg").write_bytes((folder / "phone 23.jpg").read_bytes()[:400])
    pd.DataFrame(rows).to_csv(folder / "films.csv", index=False)
    return folder


@pytest.fixture
def data_set() -> Any:
    yield run_file(DATA_SET)
    OWN_COHORTS.clear()


def run_films(films: Path, *overrides: str) -> Path:
    folder = films.parent / "outputs"
    settings = [*TINY, f"paths.films={films}", f"paths.outputs={folder}", *overrides]
    run_pipeline(compose_config(settings), folder / "day" / "run")
    return folder / "day" / "run"


def test_a_data_set_of_one_s_own_is_read_as_it_is_seen(data_set, films):
    cohort = OWN_COHORTS["mine"]
    index = cohort.read(films)
    assert index.found == index.expected == 24
    assert index.images["path"].is_monotonic_increasing
    assert set(index.images["fold"]) == {"train", "val", "test"}
    assert index.images.groupby("patient")["fold"].nunique().max() == 1
    assert index.images[["Mass", "Effusion"]].sum().tolist() == [16, 8]
    assert index.boxes is not None
    assert len(index.boxes) == 24  # all but one of a film that cannot be read, which has none
    for path, x, y, w, h in index.boxes[["image", "x", "y", "w", "h"]].itertuples(index=False):
        square, doubt = cohort.read_square(films / path, 60)
        assert ("turned" in doubt) == path.startswith("phone")
        x, y, w, h = (round(value * 60 / 1024) for value in (x, y, w, h))
        assert (x, y, w, h) == (10, 25, 30, 20)
        lit = square[y : y + h, x : x + w]
        assert lit.min() > 10
        assert lit[-1, -1] > 180
        rest = np.array(square)
        rest[y : y + h, x : x + w] = 0
        assert rest.max() < 10


def test_its_run_has_the_tables_of_the_paper_under_its_own_name(data_set, films):
    run = run_films(films, CHEAP)
    tables = run / "tables"
    table1 = pd.read_csv(tables / "table1.csv")
    assert {"random", "gradient", "class_prior"} <= set(table1["method"])
    for name in ("fig2", "classification"):
        assert set(pd.read_csv(tables / f"{name}.csv")["dataset"]) == {"mine"}
    classes = pd.read_csv(tables / "classification.csv")
    assert classes["class"].tolist() == ["Mass", "Effusion", "mean"]
    assert classes["paper_auc"].isna().all()
    # What only NIH tells of a film has no row.
    shortcuts = pd.read_csv(tables / "shortcuts.csv")
    assert set(shortcuts["features"]) == {"histogram32", "thumbnail8x8"}
    problems = pd.read_csv(tables / "problems.csv").set_index("file")["reason"]
    assert problems["phone 23.jpg"].startswith("damaged")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "own data set: mine" in page
    assert "a data set of the user&#39;s own, mine, not the paper&#39;s" in page
    assert "partial sample" not in page


def test_without_boxes_films_with_a_finding_are_explained_and_nothing_is_localized(films):
    code = DATA_SET.replace("boxes=pd.DataFrame(", "boxes=None and pd.DataFrame(").replace(
        "LABELS)", "LABELS, boxes=False)"
    )
    try:
        run_file(code)
        with pytest.raises(ConfigError, match=r"evaluation\.metrics: mine has no boxes"):
            run_films(films, CHEAP)
        run = run_films(films, "evaluation.max_images=4", "evaluation.road.max_samples=1")
        tables = {path.stem for path in (run / "tables").glob("*.csv")}
        assert {"fig2", "sensitivity_n", "equal_area", "sanity", "diagnostics"} <= tables
        assert not {"table1", "table3", "localization"} & tables
        samples = pd.read_csv(run / "tables" / "diagnostics_samples.csv")
        assert samples["sample"].nunique() == 4
        page = (run / "report.html").read_text(encoding="utf-8")
        assert "Nobody drew boxes on them" in page
    finally:
        OWN_COHORTS.clear()


def test_every_file_of_its_folder_and_its_fields_are_in_its_keys(data_set, films, tmp_path):
    settings = [*TINY, f"paths.films={films}", f"paths.outputs={tmp_path / 'outputs'}"]

    def index_key() -> str:
        return keys(compose_config(settings), tmp_path / "outputs")["index findings"]

    first = index_key()
    (films / ".hidden").write_text("")
    films.rename(tmp_path / "elsewhere")
    settings[-2] = f"paths.films={tmp_path / 'elsewhere'}"
    assert index_key() == first
    (tmp_path / "disk").mkdir()
    (tmp_path / "elsewhere" / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "more.csv").write_text("a")
    second = index_key()
    (tmp_path / "disk" / "more.csv").write_text("b")
    assert len({first, second, index_key()}) == 3
    cohort = OWN_COHORTS["mine"]
    OWN_COHORTS["mine"] = replace(cohort, reader=replace(cohort.reader, version=2))
    assert len({first, second, index_key()}) == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), r"paths\.films: is not set"),
        (("dataset.cohort=ours",), r"dataset\.cohort: unknown ours; known: nih, mine\."),
        (("experiment=demo",), r"dataset\.cohort: .*add experiment=films"),
        (("dataset.cohort=nih", "paths.films=/data"), r"paths\.films: .*add dataset\.cohort"),
        (("paths.films=/data", "paths.nih=/data/nih"), r"paths\.nih: .*mine lies at paths\.films"),
        (("paths.films=/data", "paths.outputs=/data/out"), r"paths\.outputs: lies in paths\.films"),
        (("paths.films=/data", "dataset.num_labels=8"), r"dataset\.num_labels: is of NIH's"),
        (("paths.films=/data", "evaluation.findings=[Hernia]"), "unknown Hernia"),
        (("paths.films=/data", "executor=slurm"), r"executor\.name: mine of your own file"),
    ],
)
def test_a_setting_that_cannot_go_with_it_is_named(data_set, overrides, message):
    with pytest.raises(ConfigError, match=message):
        compose_config([*TINY, *overrides])
