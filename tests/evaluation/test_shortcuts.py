"""The shortcut audit finds planted shortcuts, each with its own features, and no other."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.config import BootstrapConfig, ShortcutConfig
from evaluation.shortcuts import COLUMNS, shortcut_audit, shortcut_features

CONFIG = ShortcutConfig()
BOOTSTRAP = BootstrapConfig(resamples=200)
N = 240


def _set(seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    return {
        "films": rng.integers(60, 190, (N, 16, 16), dtype=np.uint8),
        "labels": pd.DataFrame({"Nodule": rng.integers(0, 2, N)}),
        "patients": np.arange(N) // 2,
        "views": np.where(rng.random(N) < 0.4, "AP", "PA"),
        "ages": rng.integers(20, 80, N),
        "visits": np.arange(N) % 2,
        "regions": np.zeros((N, 16, 16), bool),
    }


def _audit(data: dict[str, object]) -> pd.DataFrame:
    table = shortcut_audit(**data, config=CONFIG, bootstrap=BOOTSTRAP, seed=0)
    assert list(table.columns) == COLUMNS
    assert (table["n"] == N).all()
    return table.set_index("features")


def _hit(data: dict[str, object]) -> np.ndarray:
    return data["labels"]["Nodule"].to_numpy() == 1


def test_films_of_chance_give_nothing_away() -> None:
    table = _audit(_set(0))
    assert set(table.index) == {"histogram32", "thumbnail8x8", "metadata", "marker_region"}
    assert not table["exceeds"].any()
    assert (table["ci_low"] < 0.55).all()
    assert table["auc"].dropna().between(0.35, 0.65).all()


def test_each_feature_set_finds_the_shortcut_that_it_looks_for_and_no_other_does() -> None:
    expected = {
        "histogram32": {"histogram32", "thumbnail8x8"},  # a brighter film is brighter everywhere
        "thumbnail8x8": {"thumbnail8x8"},
        "metadata": {"metadata"},
        "marker_region": {"marker_region", "thumbnail8x8"},  # a film shows its marks
    }
    for planted, found in expected.items():
        data = _set(1)
        films, hit = data["films"], _hit(data)
        if planted == "histogram32":
            films[hit] += 25
        elif planted == "thumbnail8x8":
            # Halves change places: the histogram stays.
            films[:, :8], films[:, 8:] = films[:, :8] // 2, films[:, 8:]
            films[hit] = films[hit][:, ::-1]
        elif planted == "metadata":
            data["views"] = np.where(hit, "AP", "PA")
        else:
            data["regions"][:, 2:4, 2:4] = True
            films[:, 2:4, 2:4] = np.where(hit, 125, 120)[:, None, None]  # one bin of grey
        table = _audit(data)
        assert set(table.index[table["exceeds"]]) == found, planted
        assert table.loc[planted, "ci_low"] > 0.8


def test_a_patient_recognised_is_no_label_told() -> None:
    # Every patient has a film of his own kind and one label: only folds by patient see no link.
    data = _set(2)
    rng = np.random.default_rng(3)
    data["patients"] = np.arange(N) // 6
    data["labels"] = pd.DataFrame({"Nodule": np.repeat(rng.integers(0, 2, N // 6), 6)})
    data["films"] = np.repeat(rng.integers(0, 256, (N // 6, 16, 16), dtype=np.uint8), 6, axis=0)
    assert _audit(data).loc["thumbnail8x8", "ci_low"] < 0.6


def test_features_hold_what_their_names_say() -> None:
    films = np.zeros((2, 16, 16), np.uint8)
    films[0, :8] = 255
    films[1, 0, 0] = 8
    regions = np.zeros((2, 16, 16), bool)
    regions[0, :2, :2] = True
    found = shortcut_features(films, ["AP", "PA"], [40, 50], [0, 3], regions, CONFIG)
    np.testing.assert_allclose(found["histogram32"][0, [0, 31]], 0.5)
    np.testing.assert_allclose(found["histogram32"][1, [0, 1]], [255 / 256, 1 / 256])
    np.testing.assert_allclose(found["thumbnail8x8"][0].reshape(8, 8)[:, 0], [255] * 4 + [0] * 4)
    np.testing.assert_allclose(found["thumbnail8x8"][1, 0], 2)
    np.testing.assert_array_equal(found["metadata"], [[1, 40, 0], [0, 50, 3]])
    assert found["marker_region"].sum() == found["marker_region"][0, 0] == 255


def test_the_auc_is_that_of_scikit_learn_on_the_out_of_fold_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = _set(4)
    scores = np.round(np.random.default_rng(5).normal(size=N), 1)
    monkeypatch.setattr("evaluation.shortcuts._scores", lambda *_: scores)
    table = _audit(data)
    assert table["auc"].to_numpy() == pytest.approx(roc_auc_score(_hit(data), scores))
    assert (table["n_positive"] == _hit(data).sum()).all()


def test_what_is_unknown_of_all_films_is_left_out() -> None:
    assert "marker_region" not in _audit({**_set(0), "regions": None}).index
    unknown = dict.fromkeys(("views", "ages", "visits"))
    assert "metadata" not in _audit({**_set(0), **unknown}).index
    data = _set(1)
    data["visits"] = _hit(data).astype(int)
    assert _audit({**data, "views": None, "ages": None}).loc["metadata", "exceeds"]


def test_a_class_of_too_few_patients_has_no_auc_and_exceeds_nothing() -> None:
    data = _set(0)
    data["labels"] = pd.DataFrame({"Nodule": (np.arange(N) < 6).astype(int)})
    table = _audit(data)
    assert table[["auc", "ci_low", "ci_high"]].isna().all(axis=None)
    assert not table["exceeds"].any()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("films", np.zeros((N, 16, 16)), "films must be uint8"),
        ("patients", np.arange(3), "patients: 3 for 240 films"),
        ("ages", np.full(N, np.nan), "ages hold NaN"),
        ("labels", pd.DataFrame({"Nodule": np.full(N, 2)}), "labels must be 0 or 1"),
        ("regions", np.zeros((N, 8, 8), bool), "regions"),
    ],
)
def test_bad_input_is_named(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _audit({**_set(0), field: value})
