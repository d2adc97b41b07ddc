"""A named difficulty keeps its films, and no shortcut gives a class away."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.config import BrixiaPhantomConfig, PhantomConfig, PlantedShortcut
from data.phantom import difficulty
from data.phantom.cohort import cohort
from data.phantom.difficulty import PINNED, difficulty_hash, difficulty_name
from data.phantom.film import render_film
from data.phantom.lesions import FINDINGS
from data.phantom.markers import PLANTED_FINDING
from data.phantom.scored_difficulty import SCORED_PINNED, SHAPING_SCORED
from evaluation.config import BootstrapConfig, ShortcutConfig
from evaluation.shortcuts import shortcut_audit
from pipeline.config_checks import field_problems

PLANTED = PhantomConfig(version="v3-planted", planted_shortcut=PlantedShortcut.marker)
NAMED = [
    *(PhantomConfig(version=version) for version in ("v2", "v3")),
    *(dataclasses.replace(PLANTED, version=version) for version in ("v2-planted", "v3-planted")),
]


@pytest.mark.parametrize("config", NAMED, ids=lambda config: config.version)
def test_a_difficulty_keeps_its_numbers_or_changes_its_name(config: PhantomConfig) -> None:
    """If this fails, films are harder or easier than before: give the set a new version name."""
    assert difficulty_hash(config) == PINNED[config.version]
    assert difficulty_name(config) == config.version


@pytest.mark.parametrize(
    "change",
    [
        {"exposure_jitter": 0.2},
        {"quanta_per_mm2": 50000.0},
        {"scatter": 0.2},
        {"planted_shortcut": PlantedShortcut.marker},
    ],
)
def test_a_setting_that_makes_other_films_loses_the_name(change: dict[str, object]) -> None:
    assert "changed" in difficulty_name(dataclasses.replace(PhantomConfig(), **change))


def test_every_name_is_pinned_and_another_is_refused() -> None:
    assert set(PINNED) == {config.version for config in NAMED}
    assert len(set(PINNED.values())) == len(PINNED)
    with pytest.raises(ValueError, match="v2, v2-planted, v3, v3-planted"):
        difficulty_name(PhantomConfig(version="v4"))


@pytest.mark.parametrize(
    ("config", "pinned"), [(PhantomConfig, PINNED), (BrixiaPhantomConfig, SCORED_PINNED)]
)
def test_a_configuration_can_choose_the_pinned_names_and_no_other(
    config: type, pinned: dict[str, str]
) -> None:
    (version,) = [each for each in dataclasses.fields(config) if each.name == "version"]
    assert set(version.metadata["one_of"]) == set(pinned)
    assert not list(field_problems(config()))
    ((key, problem),) = field_problems(config(version="v9"), "above.")
    assert key == "above.version"
    assert problem == f"one of {', '.join(version.metadata['one_of'])}, not v9"


def test_what_sets_differ_in_counts() -> None:
    before = difficulty_hash(PhantomConfig())
    v3 = difficulty.DIFFICULTIES["v3"]
    for change in ({"several": 0.2}, {"wrong_labels": 0.0}, {"odds": v3.odds[1:]}):
        other = {"v3": dataclasses.replace(v3, **change)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(difficulty, "DIFFICULTIES", other)
            assert difficulty_hash(PhantomConfig()) != before


def test_more_films_of_another_seed_and_size_are_as_difficult() -> None:
    other = PhantomConfig(num_train_val=7, num_test=3, seed=5, side=64)
    assert difficulty_hash(other) == difficulty_hash(PhantomConfig())


@pytest.mark.parametrize("module", [*difficulty.SHAPING, *difficulty.SHAPING_SINCE_V3])
def test_every_number_of_every_shaping_module_counts_and_its_wording_does_not(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = difficulty_hash(PhantomConfig())
    for path in Path(difficulty.__file__).parent.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.setattr(difficulty, "__file__", str(tmp_path / "difficulty.py"))
    source = (tmp_path / f"{module}.py").read_text()
    (tmp_path / f"{module}.py").write_text(f'"""Reworded."""\n# 42\n{source}\nlabel = "43"\n')
    assert difficulty_hash(PhantomConfig()) == before
    hashes = set()
    for line in ("extra = 0.125", "extra = -0.125", "def f(x=0.25): ..."):
        (tmp_path / f"{module}.py").write_text(f"{source}\n{line}\n")
        hashes.add(difficulty_hash(PhantomConfig()))
    assert len(hashes | {before}) == 4


def test_every_module_that_shapes_a_film_is_listed() -> None:
    present = {path.stem for path in Path(difficulty.__file__).parent.glob("*.py")}
    elsewhere = {"__init__", "causal", "contact_sheet", "counterfactual", "difficulty"}
    elsewhere |= {"nih_layout", *difficulty.SHAPING_SINCE_V3}
    scored = {"brixia_layout", "scored_difficulty"}.union(*SHAPING_SCORED.values())
    scored |= {"shapes", "shapes_layout"}  # for pre-training: compared with nothing
    assert present == set(difficulty.SHAPING) | elsewhere | scored


def _audit(config: PhantomConfig, findings: tuple[str, ...]) -> pd.DataFrame:
    cases = list(cohort(config))
    films = [render_film(c.patient, c.visit, c.findings, config) for c in cases]
    labels = pd.DataFrame({f: [int(f in c.findings) for c in cases] for f in findings})
    return shortcut_audit(
        np.array([f.image for f in films]),
        labels,
        [c.patient.number for c in cases],
        [c.visit.view for c in cases],
        [c.visit.age for c in cases],
        [c.visit.number for c in cases],
        np.array([f.marks for f in films]),
        ShortcutConfig(),
        BootstrapConfig(resamples=300),
        seed=0,
    ).set_index(["class", "features"])


@pytest.fixture(scope="module")
def audit() -> pd.DataFrame:
    return _audit(PhantomConfig(side=48, seed=70, num_train_val=500, num_test=0), FINDINGS)


def test_no_histogram_view_age_visit_letter_or_tube_gives_a_class_away(audit: pd.DataFrame) -> None:
    """500 films decide only within about .05: no class may lie surely above the limit."""
    given_away = audit[audit["ci_low"] > ShortcutConfig().limit].index
    assert set(given_away) <= {("Cardiomegaly", "thumbnail8x8")}
    means = audit["auc"].groupby("features").mean()
    assert (means.drop("thumbnail8x8") < 0.58).all()
    assert means["thumbnail8x8"] < 0.66


def test_an_enlarged_heart_is_seen_at_8x8_which_the_audit_finds(audit: pd.DataFrame) -> None:
    row = audit.loc[("Cardiomegaly", "thumbnail8x8")]
    assert row["exceeds"]
    assert row["ci_low"] > 0.6  # of 35 films


def test_the_planted_token_gives_its_class_away_and_no_other() -> None:
    config = dataclasses.replace(PLANTED, side=48, seed=70, num_train_val=500, num_test=0)
    table = _audit(config, (PLANTED_FINDING, "Infiltration"))
    assert table.loc[(PLANTED_FINDING, "marker_region"), "ci_low"] > 0.65
    assert table.loc[("Infiltration", "marker_region"), "auc"] < 0.6
