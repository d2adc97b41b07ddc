"""Guards the tables of several tasks and their rows, on results written by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attribution.config import Score
from evaluation.config import BootstrapConfig, LocalizationConfig
from pipeline.executors.base import SerialExecutor
from pipeline.executors.config import ExecutorConfig
from pipeline.step import Machine, UserFiles, Work
from pipeline.steps.rows import ROWS, read_rows
from pipeline.steps.tables import Tables

NAMES = {"sample": [0, 1], "image": ["007", "b"], "patient": [1, 2], "finding": ["Mass", "Mass"]}


def measured(folder: Path, shards: bool = True, **columns: object) -> UserFiles:
    """A step's samples.csv, of two samples, in shards or as a whole."""
    frame = pd.DataFrame(NAMES).assign(**columns)
    parts = {folder / "shards" / f"{row:05d}": frame[row : row + 1] for row in range(2)}
    for place, part in (parts if shards else {folder: frame}).items():
        place.mkdir(parents=True)
        part.to_csv(place / "samples.csv", index=False)
    return UserFiles(folder, folder.name)


def made(
    root: Path,
    intersections: dict[str, UserFiles] | None = None,
    operating_points: dict[str, dict[str, UserFiles]] | None = None,
    **measured: dict[str, dict[str, UserFiles]],
) -> Path:
    """The folder of the tables of ``measured``, by task."""
    samples = UserFiles(root / "samples", "samples")
    samples.path.mkdir()
    pd.DataFrame(NAMES).to_csv(samples.path / "samples.csv", index=False)
    tables = Tables(
        measured=measured,
        samples={task: samples for task in measured},
        datasets={task: f"films of {task}" for task in measured},
        intersections=intersections or {},
        score=Score.logit,
        loss_comparison=None,
        operating_points=operating_points or {},
        severity=None,
        index=None,
        test_index=None,
        second_reader=False,
        localization=LocalizationConfig(),
        bootstrap=BootstrapConfig(resamples=10),
        seed=0,
    )
    folder = root / "tables"
    folder.mkdir()
    tables.run(
        Work(
            folders={source.key: source.path for source in tables.inputs.values()},
            machine=Machine(root),
            folder=folder,
            progress=lambda done, total: None,
            note=lambda text: None,
            executor=SerialExecutor(ExecutorConfig()),
        )
    )
    return folder


def games(folder: Path) -> UserFiles:
    ends = {"baseline": "blur", "score": 0.5, "blank": 0.1}
    relative = {"insertion_relative": [0.25, None], "deletion_relative": [0.0, None]}
    return measured(folder, **ends, insertion_auc=[0.2, 0.4], deletion_auc=0.1, **relative)


def test_a_table_says_the_task_only_where_it_holds_several(tmp_path):
    change = {"metric": "change_0.1", "value": [1.0, 3.0]}
    own, other = (measured(tmp_path / name, **change) for name in ("own", "other"))
    road = measured(tmp_path / "road", metric="morf", value=[0.0, 1.0])
    folder = made(
        tmp_path,
        findings={"equal_area": {"iba": own}, "road": {"iba": road}},
        detectors={"equal_area": {"iba": other}},
    )
    joined = pd.read_csv(folder / "equal_area.csv")
    assert joined["task"].tolist() == ["findings", "detectors"]
    assert joined["value"].tolist() == [2, 2]
    assert "task" in pd.read_csv(folder / "equal_area_samples.csv")
    assert pd.read_csv(folder / "sanity.csv")[["method", "metric", "value"]].values.tolist() == [
        ["iba", "morf", 0.5]
    ]
    assert "task" not in pd.read_csv(folder / "sanity_samples.csv")


def test_figure_2_tells_tasks_by_their_films(tmp_path):
    folder = made(
        tmp_path,
        findings={"insertion_deletion": {"iba": games(tmp_path / "own")}},
        detectors={"insertion_deletion": {"iba": games(tmp_path / "other")}},
    )
    table = pd.read_csv(folder / "fig2.csv")
    assert table["dataset"].tolist() == ["films of findings", "films of detectors"]
    assert "task" not in table


def test_every_number_of_every_sample_is_a_row(tmp_path):
    curves = measured(tmp_path / "n", shards=False, n=4, fraction=0.25, correlation=[0.5, None])
    kept = measured(tmp_path / "kept", metric="iou", value=[1, 2])
    folder = made(
        tmp_path,
        findings={
            "insertion_deletion": {"iba": games(tmp_path / "games")},
            "sensitivity_n": {"iba": curves},
            "kept": {"iba": kept},
        },
    )
    rows = read_rows(folder)
    assert list(rows) == ROWS
    assert set(rows["image"]) == {"007", "b"}
    numbers = rows[rows["sample"] == 0].set_index(["table", "metric"])[["place", "value"]]
    assert numbers["value"].to_dict() == {
        ("fig2", "score"): 0.5,
        ("fig2", "blank"): 0.1,
        ("fig2", "insertion_relative"): 0.25,
        ("fig2", "deletion_relative"): 0,
        ("fig2", "insertion_auc"): 0.2,
        ("fig2", "deletion_auc"): 0.1,
        ("sensitivity_n", "correlation"): 0.5,
        ("own_kept", "iou"): 1,
    }
    assert numbers["place"].dropna().tolist() == [*["blur"] * 6, "4"]
    assert rows["value"].isna().sum() == 3
    assert pd.read_csv(folder / "own_kept.csv")["value"].tolist() == [1.5]


def test_logits_of_findings_keep_their_digits(tmp_path):
    for loss in ("bce", "weighted_bce"):
        (tmp_path / loss).mkdir()
        (tmp_path / loss / "classification.csv").write_text(
            f"dataset,model,auc\nnih,{loss},n/a\n", encoding="utf-8"
        )
        (tmp_path / loss / "classification_samples.csv").write_text(
            f"model,image,logit_Mass\n{loss},007,-0.87271083\n", encoding="utf-8"
        )
    by_model = {loss: UserFiles(tmp_path / loss, loss) for loss in ("bce", "weighted_bce")}
    folder = made(tmp_path, findings={"classification": by_model})
    assert (folder / "classification.csv").read_text() == (
        "dataset,model,auc\nnih,bce,n/a\nnih,weighted_bce,n/a\n"
    )
    assert (folder / "classification_samples.csv").read_text() == (
        "model,image,logit_Mass\nbce,007,-0.87271083\nweighted_bce,007,-0.87271083\n"
    )
    assert read_rows(folder).empty


def localized(folder: Path, iou: list[float]) -> UserFiles:
    """A finished localization: two samples, whose IoU no threshold changes."""
    rows = measured(folder, shards=False, place="box", average_precision=0.5, iou_box_area=0.4)
    curves = np.repeat(np.array(iou)[:, None], 99, axis=1)
    np.savez(folder / "curves.npz", box=curves, mask_true=curves)
    return rows


def explained(folder: Path, **scores: float) -> UserFiles:
    """Finished maps with their diagnostics."""
    for row in range(2):
        shard = folder / "shards" / f"{row:05d}"
        shard.mkdir(parents=True)
        pd.DataFrame({"sample": [row], **scores}).to_csv(shard / "diagnostics.csv", index=False)
    return UserFiles(folder, folder.name)


def test_table_1_has_the_binary_intersection_and_what_is_left_behind_a_bottleneck(tmp_path):
    ious = {"iba": [0.2, 0.4], "multilayer_iba": [0.6, 0.6]}
    boxes = {method: localized(tmp_path / f"{method} iou", iou) for method, iou in ious.items()}
    logits = {"iba": {"score": 0.0, "bottleneck_score": np.log(3)}, "multilayer_iba": {"score": 0}}
    maps = {method: explained(tmp_path / method, **each) for method, each in logits.items()}
    binary = measured(tmp_path / "binary", shards=False, place="box", iou=[0.1, 0.5])
    folder = made(
        tmp_path,
        intersections={"findings": binary},
        findings={"localization": boxes, "diagnostics": maps},
    )
    table = pd.read_csv(folder / "table1.csv", na_values=["n/a"]).set_index(["method", "rule"])
    assert table["iou"].round(6).to_dict() == {
        ("iba", "cross_fitted"): 0.3,
        ("multilayer_iba", "cross_fitted"): 0.6,
        ("multilayer_iba", "intersection"): 0.3,
        ("iba", "box_area"): 0.4,
        ("multilayer_iba", "box_area"): 0.4,
    }
    papers = [("iba", "cross_fitted"), ("multilayer_iba", "intersection")]
    assert table.index[table["primary"]].tolist() == papers
    assert table["paper"].dropna().to_dict() == dict(zip(papers, [0.114, 0.189], strict=True))
    assert set(table["score"]) == {0.5}
    behind = table["score_behind"]
    assert behind["iba"].tolist() == [0.75] * 2
    assert behind["multilayer_iba"].isna().all()
    findings = pd.read_csv(folder / "table1_findings.csv")
    assert findings[["finding", "method", "rule", "iou"]].values.tolist() == [
        ["Mass", "iba", "cross_fitted", 0.3],
        ["Mass", "multilayer_iba", "cross_fitted", 0.6],
        ["Mass", "multilayer_iba", "intersection", 0.3],
    ]
    rows = read_rows(folder)
    assert rows.loc[rows["metric"] == "iou_intersection", "value"].tolist() == [0.1, 0.5]


def test_table_2_has_the_intersection_of_each_detector_and_place(tmp_path):
    boxes = {"multilayer_iba": localized(tmp_path / "iou", [0.6, 0.6])}
    maps = {"multilayer_iba": explained(tmp_path / "maps", score=0.0)}
    binary = UserFiles(tmp_path / "binary", "binary")
    binary.path.mkdir()
    both = [pd.DataFrame(NAMES).assign(place=place, iou=0.2) for place in ("box", "mask_true")]
    pd.concat(both).replace({"box": "box_true"}).to_csv(binary.path / "samples.csv", index=False)
    for path in (tmp_path / "iou").glob("*.npz"):
        curves = np.load(path)["box"]
        np.savez(path, mask_true=curves, box_true=curves)
    folder = made(
        tmp_path,
        intersections={"detectors": binary},
        detectors={"localization": boxes, "diagnostics": maps},
    )
    table = pd.read_csv(folder / "table2.csv")
    assert list(table)[:4] == ["detector", "method", "region", "lungs"]
    keys = table[["region", "rule", "primary"]].values.tolist()
    assert keys == [
        ["mask", "cross_fitted", False],
        ["box", "cross_fitted", False],
        ["box", "intersection", False],
        ["mask", "intersection", True],
    ]
    assert set(table["score"]) == {0.5}


def test_operating_points_are_rows_of_their_models_and_absent_where_every_beta_is_given(tmp_path):
    points = {}
    for method, met in (("iba", "true"), ("inverse_iba", "false")):
        folder = tmp_path / method
        folder.mkdir()
        (folder / "beta.json").write_text(
            f'{{"method": "{method}", "tap": "block3", "beta": 0.5, "bits": 9.0, "score": 0.7,'
            f' "score_behind": 0.65, "rule": "keeps", "met": {met}, "films": 4,'
            ' "share_met": 0.75, "excess": -0.1}'
        )
        points[method] = UserFiles(folder, method)
    found = pd.read_csv(
        made(tmp_path, operating_points={"findings bce": points}, findings={})
        / "operating_points.csv"
    )
    assert found["model"].tolist() == ["findings bce"] * 2
    assert dict(zip(found["method"], found["met"], strict=True)) == {
        "iba": True,
        "inverse_iba": False,
    }
    (tmp_path / "none").mkdir()
    assert not (made(tmp_path / "none", findings={}) / "operating_points.csv").exists()


def test_each_task_has_a_scoreboard_of_its_own_tables(tmp_path):
    def metric(name: str, **columns: object) -> dict[str, UserFiles]:
        return {"iba": measured(tmp_path / name, **columns)}

    randomised = {"metric": "spearman_conv0", "value": [0.2, 0.4]}
    folder = made(
        tmp_path,
        findings={"localization": {"iba": localized(tmp_path / "iou", [0.2, 0.4])},
                  "diagnostics": {"iba": explained(tmp_path / "maps", score=0.0)},
                  "insertion_deletion": {"iba": games(tmp_path / "games")},
                  "sanity": metric("sanity", **randomised)},
        detectors={"insertion_deletion": {"iba": games(tmp_path / "other games")}},
    )  # fmt: skip
    board = pd.read_csv(folder / "scoreboard_findings.csv").iloc[0]
    assert board["iou"] == pytest.approx(0.3)
    assert board["insertion"] == pytest.approx(0.3)
    assert board["sanity"] == pytest.approx(0.3)
    assert board["sanity_n"] == 2
    others = pd.read_csv(folder / "scoreboard_detectors.csv")
    assert "sanity" not in others  # it was not measured there
    assert others["deletion"].tolist() == [0.1]
