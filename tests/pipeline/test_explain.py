"""Films of one's own, explained by a run on few phantoms whose model was never trained."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom import dcmread

from data.integrity import DataError
from pipeline.config import compose_config
from pipeline.explain import main
from pipeline.keys import file_sha256
from pipeline.plan import before, plan_run
from pipeline.runner import finish_run, obtain_all, record_plan
from pipeline.store import Store
from pipeline.task import FINDINGS
from tests.data.dicom_films import dicom, write
from tests.patient_header import BORN, MARK, fill_with_a_patient, marks_in
from tests.untrained import SIDE, UNTRAINED

SETTINGS = (
    *UNTRAINED,
    "attribution.methods=[grad_cam,iba]",
    "attribution.batch_size=1",
    "dataset.val_fraction=0.4",  # which shows what beta: auto is found on
    "attribution.iba.steps=2",
    "attribution.iba.noise_samples=2",
    "attribution.statistics.num_images=4",
    "evaluation.max_images=2",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    config = compose_config([*SETTINGS, f"paths.outputs={folder}"])
    store = Store(folder / "store")
    plan = plan_run(config, store.digests)
    order = before(*plan.tasks[FINDINGS].maps.values())
    run = folder / "day" / "run"
    run.mkdir(parents=True)
    record_plan(order, run)
    finish_run(config, run, obtain_all(order, store, config))
    store.digests.close()
    return folder


def step(outputs: Path, title: str) -> Path:
    made = json.loads((outputs / "latest" / "run.json").read_text())["steps"][title]
    return Store(outputs / "store").folder(made["step"], made["key"])


def explained(outputs: Path, image: Path, *arguments: str) -> tuple[int, Path]:
    out = outputs / "explain" / str(len(list(outputs.glob("explain/*"))))
    run = ["--run", str(outputs / "latest"), "--image", str(image), "--out", str(out)]
    return main([*run, *arguments]), out


@pytest.fixture
def film(tmp_path: Path) -> Path:
    grey = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "film.png")
    return tmp_path / "film.png"


def test_a_film_of_the_run_gets_the_map_that_it_has_in_the_run(outputs):
    samples = pd.read_csv(step(outputs, "box_samples findings") / "samples.csv")
    index = pd.read_csv(step(outputs, "index findings") / "images.csv").set_index("image")
    sample = samples.iloc[-1]
    image = step(outputs, "render nih") / index.loc[sample["image"], "path"]
    code, out = explained(outputs, image, "--target", sample["finding"], "--method", "all")
    assert code == 0
    for method in ("grad_cam", "iba"):
        shards = sorted(step(outputs, f"maps findings {method}").rglob("maps.npy"))
        own = np.concatenate([np.load(shard) for shard in shards])[-1]
        np.testing.assert_array_equal(np.load(out / f"{method}.npy"), own)


def test_the_most_probable_label_is_explained_and_what_was_done_is_written(outputs, film, capsys):
    code, out = explained(outputs, film)
    assert code == 0
    record = json.loads((out / "explanation.json").read_text())
    probabilities = record["probabilities"]
    assert len(probabilities) == 8
    assert record["target"] == max(probabilities, key=probabilities.get)
    assert record["image"]["sha256"] == file_sha256(film)
    assert record["run"]["name"] == "day/run"
    heat = np.load(out / "iba.npy")
    assert heat.dtype == np.float32
    assert heat.shape == (SIDE, SIDE)
    assert heat.sum() == pytest.approx(record["methods"]["iba"]["diagnostics"]["bits"], rel=1e-4)
    assert record["methods"]["iba"]["unit"] == "bits/pixel"
    with Image.open(out / "overlay.png") as overlay:
        assert overlay.width > overlay.height > SIDE  # the film and the map beside each other
    said = capsys.readouterr().out
    assert all(f"{value:.3f}" in said for value in probabilities.values())
    assert "trained on phantoms" in said
    assert "50 x 40 pixels: the model sees the square in the middle" in said
    assert str(film.parent) not in (out / "explanation.json").read_text()


def test_the_same_film_again_gives_the_same_bytes(outputs, film):
    first, second = (explained(outputs, film)[1] for _ in range(2))
    for name in ("iba.npy", "overlay.png", "explanation.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def write_dicom(path: Path, grey: np.ndarray, named: bool = False, **fields: str) -> Path:
    """A film whose window leaves 0 ... 255 as they are; ``named``, in a header full of a person."""
    unsaid = {"BurnedInAnnotation": "", "WindowCenter": 128, "WindowWidth": 256}
    header = dicom(grey, 8, **unsaid | fields)
    if named:
        fill_with_a_patient(header)
    return write(path, header)


def test_a_dicom_film_is_explained_as_its_png(outputs, tmp_path, film, capsys):
    path = write_dicom(tmp_path / "named.png", np.asarray(Image.open(film)))  # told by content
    method = "--method", "grad_cam"  # which draws nothing
    (code, out), (_, expected) = (
        explained(outputs, path, *method),
        explained(outputs, film, *method),
    )
    assert code == 0
    assert "BurnedInAnnotation: not NO" in capsys.readouterr().out
    maps = (np.load(folder / "grad_cam.npy") for folder in (out, expected))
    np.testing.assert_array_equal(*maps)


def notes_of(outputs: Path, path: Path) -> list[str]:
    code, out = explained(outputs, path, "--method", "grad_cam")
    assert code == 0
    return json.loads((out / "explanation.json").read_text())["image"]["notes"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"PatientOrientation": ["R", "H"]}, "PatientOrientation: upside down"),
        ({"PixelAspectRatio": ["1", "2"]}, "its pixels are not square"),
        ({"PatientOrientation": ["L", "F"], "ViewPosition": "AP"}, None),
    ],
)
def test_how_a_dicom_film_lies_is_noted(outputs, tmp_path, film, capsys, fields, told):
    path = write_dicom(
        tmp_path / "film.dcm", np.asarray(Image.open(film)), BurnedInAnnotation="NO", **fields
    )
    notes = notes_of(outputs, path)
    own = [note for note in notes if "phantoms" not in note and "in the middle" not in note]
    assert len(own) == int(told is not None)
    if told:
        assert own[0].startswith(told)
        assert told in capsys.readouterr().out


@pytest.mark.parametrize("spoilt", [False, True])
def test_nothing_of_the_patient_s_header_name_or_path_is_left_anywhere(
    outputs, tmp_path, film, capfd, caplog, monkeypatch, spoilt
):
    path = tmp_path / f"{MARK}^JANE" / f"{MARK}_{BORN}.dcm"
    write_dicom(path, np.asarray(Image.open(film)), named=True)
    assert len(marks_in(path.read_bytes())) == 3
    if spoilt:
        path.write_bytes(path.read_bytes()[:-500])
    monkeypatch.setattr(logging.getLogger("pipeline"), "propagate", True)
    before = set(outputs.rglob("*"))
    caplog.set_level(logging.DEBUG)
    code, out = explained(outputs, path, "--method", "all")
    assert code == int(spoilt)
    assert out.exists() != spoilt
    said = capfd.readouterr()
    assert ("damaged" in said.out) == spoilt
    written = [item for item in outputs.rglob("*") if item.is_file()]
    assert spoilt or len(set(written) - before) >= 4
    texts = [said.out, said.err, caplog.text, *map(str, written)]
    for content in (*(text.encode() for text in texts), *(item.read_bytes() for item in written)):
        assert not marks_in(content)


def test_a_seed_does_not_tell_a_name(outputs, film, tmp_path):
    other = tmp_path / "DOE^JANE.png"
    shutil.copyfile(film, other)
    seeds = {
        json.loads((explained(outputs, path)[1] / "explanation.json").read_text())["seed"]
        for path in (film, other)
    }
    assert len(seeds) == 1


def test_a_secondary_capture_shows_the_overlay_and_shares_no_value_with_the_film_s_header(
    outputs, tmp_path, film
):
    grey = np.asarray(Image.open(film))
    path = write_dicom(tmp_path / "other" / "smith.dcm", grey, named=True, BurnedInAnnotation="NO")
    code, out = explained(outputs, path, "--method", "all", "--secondary-capture")
    assert code == 0
    source, capture = dcmread(path), dcmread(out / "overlay.dcm")
    with Image.open(out / "overlay.png") as overlay:
        np.testing.assert_array_equal(capture.pixel_array, overlay.convert("RGB"))
    technical = {"BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"}
    shared = {e.keyword for e in source if e.value and e.value in [c.value for c in capture]}
    assert shared - technical == {"BurnedInAnnotation"}
    written = (out / "overlay.dcm").read_bytes()
    assert not marks_in(written)
    assert path.stem.encode() not in written
    target = json.loads((out / "explanation.json").read_text())["target"]
    assert capture.DerivationDescription.startswith(
        f"GradCAM, IBA: what a model's prediction of {target} rests on"
    )


def test_a_film_that_may_bear_text_makes_a_capture_that_says_so(outputs, tmp_path, film):
    path = write_dicom(tmp_path / "other" / "film.dcm", np.asarray(Image.open(film)))
    _, out = explained(outputs, path, "--method", "grad_cam", "--secondary-capture")
    assert dcmread(out / "overlay.dcm").BurnedInAnnotation == "YES"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "Covid"), "'Covid' is no label of this model: Atelectasis, Cardiomegaly"),
        (("--method", "ibba"), "'ibba' is not known; all, gradient"),
        (("--method", "iba_block1"), "has no beta of iba_block1, which is auto: a run with"),
        (("--method", "regression_iba_rm"), "has no beta of regression_iba_rm"),
        (("--image", "absent.png"), "--image: not found"),
        (("--image", __file__), "not a PNG or JPEG"),
        (("--run", "/nowhere"), "/nowhere is no finished run"),
        (("--out", "."), "is there already"),
        (("--secondary-capture",), "the film is not DICOM"),
    ],
)
def test_a_mistake_is_a_message_and_exit_code_1_and_writes_nothing(
    outputs, film, capsys, arguments, said
):
    code, out = explained(outputs, film, *arguments)
    assert code == 1
    assert said in capsys.readouterr().out
    assert not out.exists()


def test_a_path_with_blanks_that_lacks_its_quotes_is_told_and_not_repeated(capsys):
    with pytest.raises(SystemExit):
        main(["--image", f"/films/{MARK}", "JANE", "1933.dcm"])
    said = "".join(capsys.readouterr())
    assert "a path with blanks needs quotes" in said
    assert not any(part in said for part in (MARK, "JANE", "1933"))


@pytest.mark.parametrize("reader", ["pipeline.explain.file_sha256", "data.dicom.read_dicom_facts"])
@pytest.mark.parametrize("kind", [FileNotFoundError, DataError])
def test_a_film_that_goes_away_meanwhile_is_told_without_its_path(
    outputs, tmp_path, film, capsys, monkeypatch, reader, kind
):
    path = write_dicom(tmp_path / MARK / "film.dcm", np.asarray(Image.open(film)))

    def gone(path: Path) -> None:
        raise kind(2, "gone", str(path)) if kind is FileNotFoundError else kind(f"{path}: gone")

    monkeypatch.setattr(reader, gone)
    code, _ = explained(outputs, path, "--method", "grad_cam", "--secondary-capture")
    assert code == 1
    said = capsys.readouterr().out
    assert "error: --image: " in said
    assert "gone" in said
    assert MARK not in said


def test_a_run_whose_model_is_gone_from_the_store_says_so(outputs, film, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(outputs / "day", copy / "day")
    assert main(["--run", str(copy / "day" / "run"), "--image", str(film)]) == 1
    assert "no folder above it holds its store" in capsys.readouterr().out
    (copy / "store").mkdir()
    assert main(["--run", str(copy / "day" / "run"), "--image", str(film)]) == 1
    assert "the index findings of run day/run is no longer in the store" in capsys.readouterr().out


@pytest.mark.parametrize(
    "record",
    [
        *("{", "{}", "[" * 5000, '{"config": {"sead": 1}, "steps": {}}'),
        '{"config": {"name": "${oc.env:HOME}"}, "steps": {}}',
        '{"config": {}, "steps": {"a": {"step": "..", "key": "' + "0" * 64 + '"}}}',
        '{"config": {}, "steps": {"a": {"step": "train", "key": "../../../etc"}}}',
        '{"config": {}, "steps": {"a": "train"}}',
    ],
)
def test_a_record_of_another_version_is_refused(film, tmp_path, capsys, record):
    (tmp_path / "run.json").write_text(record)
    assert main(["--run", str(tmp_path), "--image", str(film)]) == 1
    assert "not a record of this version" in capsys.readouterr().out
