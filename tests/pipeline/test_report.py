"""The report of a run on few phantoms whose model was never trained, and made anew."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipeline.config import compose_config
from pipeline.report import main
from pipeline.run import run_pipeline

SETTINGS = (
    "experiment=smoke",
    "dataset.side=32",
    "dataset.phantom.num_train_val=24",
    "dataset.phantom.num_test=40",
    "dataset.phantom.side=64",
    "train.losses=[weighted_bce]",
    "train.pretrain_epochs=0",
    "train.epochs=0",
    "brixia=none",
    "attribution.methods=[grad_cam,iba,inverse_iba]",
    *(
        f"attribution.{method}.{name}=1"
        for method in ("iba", "inverse_iba")
        for name in ("steps", "noise_samples")
    ),
    "attribution.statistics.num_images=4",
    "evaluation.metrics=[localization]",
    "evaluation.max_images=12",
    "evaluation.bootstrap.resamples=20",
    "evaluation.claims.simulations=20",
    "threads=1",
)
FIGURE = re.compile(r'<details class="block" id="figure-(\w+)".*?</details>', re.DOTALL)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    run_pipeline(compose_config([*SETTINGS, f"paths.outputs={folder}"]), folder / "day" / "run")
    return folder


@pytest.fixture
def run(outputs, tmp_path) -> Path:
    """The run and its store, to be spoilt."""
    shutil.copytree(outputs, tmp_path / "outputs", symlinks=True)
    return tmp_path / "outputs" / "day" / "run"


def films(page: str) -> list[dict]:
    found = re.search(r'id="browser-data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found.group(1)) if found else []


def embedded(page: str) -> set[str]:
    """Names of the figures whose pictures are in the page."""
    return {each[1] for each in FIGURE.finditer(page) if 'src="data:image/' in each[0]}


def test_a_run_draws_its_figures_as_png_and_pdf_and_shows_them(outputs):
    run = outputs / "latest"
    drawn = {"examples", "fig1", "table1", "roc", "precision_recall"}
    assert {path.stem for path in (run / "figures").glob("*.pdf")} == drawn
    page = (run / "report.html").read_text(encoding="utf-8")
    assert embedded(page) == drawn | {"contact_sheet"}
    assert "no figure 4: attribution.methods lacks multilayer_iba" in page
    assert "Where the paper, the published code and this project differ" in page
    assert len(films(page)) == 12
    assert list(films(page)[0]["maps"]) == ["grad_cam", "iba", "inverse_iba"]


def test_the_browser_says_how_well_the_maps_of_each_film_agree_with_its_box(outputs):
    shown = films((outputs / "latest" / "report.html").read_text(encoding="utf-8"))
    samples = pd.read_csv(outputs / "latest" / "tables" / "table1_samples.csv")
    explained = samples[samples["method"].isin(shown[0]["maps"])]
    means = explained.groupby(["finding", "image", "sample"])["iou"].mean()
    assert {"typical", "worst"} <= {film["role"].split(",")[0] for film in shown}
    for film in shown:
        said = float(film["role"].split()[-1])
        assert said in means[film["finding"], film["image"]].round(2).tolist()


def test_screen_and_report_say_what_each_part_of_a_run_took(outputs):
    run = outputs / "latest"
    page = (run / "report.html").read_text(encoding="utf-8")
    steps = json.loads((run / "run.json").read_text(encoding="utf-8"))["steps"]
    maps = [made for made in steps.values() if made["step"] == "maps"]
    seconds = f"{sum(made['seconds_when_made'] for made in maps):.1f}"
    said = (run / "pipeline.log").read_text(encoding="utf-8")
    for text in (re.sub(r"<[^>]*>", " ", page), said):
        assert re.search(rf"^\s*maps\s+{len(maps)}\s+{seconds}\s", text, re.MULTILINE)
    board = re.search(r'id="scoreboard_findings".*?</table>', page, re.DOTALL)
    assert "seconds a film" in board[0]


def test_a_report_made_anew_has_the_same_bytes(run, capsys):
    before = (run / "report.html").read_bytes()
    for path in (
        run / "report.html",
        *(run / "figures").iterdir(),
        *(run / "tables").iterdir(),
    ):
        path.unlink()
    assert main([str(run)]) == 0
    assert (run / "report.html").read_bytes() == before
    assert str(run / "report.html") in capsys.readouterr().out


def test_without_embedding_no_film_is_in_the_page_and_it_says_so(run):
    assert main([str(run), "report.embed_images=false"]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert embedded(page) == {"table1", "roc", "precision_recall"}
    assert films(page) == []
    assert "no pixel of a film is in this file" in page
    assert "figures/examples.png in the run" in page


def test_the_browser_holds_no_more_films_than_told(run):
    assert main([str(run), "report.max_images=3"]) == 0
    assert len(films((run / "report.html").read_text(encoding="utf-8"))) == 3


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["report.max_images=many"], "report.max_images: Value 'many'"),
        (["report.max_images={"], "report.max_images={"),
        (["report.embed_images=true,false"], "report.embed_images"),
        (["report.max_images=0"], "at least 1, not 0"),
        (["report.colour=red"], "report.colour"),
        (["seed=3"], "seed=3"),
    ],
)
def test_what_cannot_be_asked_of_a_report_is_refused_by_name(outputs, overrides, said, capsys):
    assert main([str(outputs / "latest"), *overrides]) == 1
    assert said in capsys.readouterr().out


def test_a_folder_without_a_run_a_lost_result_and_old_figures_are_named(run, tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "no finished run" in capsys.readouterr().out
    (figures,) = [p for p in (run.parents[1] / "store" / "figures").iterdir() if p.is_dir()]
    (figures / "figures.json").rename(figures / "alt_texts.json")
    manifest = json.loads((figures / "manifest.json").read_text())
    manifest["files"]["alt_texts.json"] = manifest["files"].pop("figures.json")
    (figures / "manifest.json").write_text(json.dumps(manifest))
    assert main([str(run)]) == 1
    assert "an earlier version" in capsys.readouterr().out
    shutil.rmtree(figures)
    assert main([str(run)]) == 1
    assert "no longer in the store" in capsys.readouterr().out
