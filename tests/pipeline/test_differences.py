"""Why a step would run: the settings in which it differs from the nearest result."""

import json
from dataclasses import make_dataclass
from typing import Any, cast

from pipeline.differences import KeyHistory
from pipeline.step import Step, UserFiles


def step(name: str, settings: dict[str, Any], **inputs: Any) -> Step:
    """A step of a class of its own, with a field for each setting and input."""
    version, label = inputs.pop("version", 1), inputs.pop("label", "")
    fields = settings | inputs
    made = make_dataclass(name, list(fields), bases=(Step,), frozen=True)
    made.version = version
    return cast(Step, made(**fields, label=label))


def graph(
    rate: float = 0.1, beta: float = 10.0, films: str = "f0", **train: Any
) -> dict[str, Step]:
    pack = step("pack", {"side": 32}, films=UserFiles(None, films))  # type: ignore[arg-type]
    trained = step("train", {"train": {"rate": rate, "epochs": 2}}, pack=pack, **train)
    tap = step("statistics", {}, train=trained)
    maps = step("attribute", {"settings": {"beta": beta}}, train=trained, tap=tap, label="iba")
    return {each.title: each for each in (pack, trained, tap, maps)}


def manifests(*graphs: dict[str, Step]) -> list[dict[str, Any]]:
    names = ("label", "key", "key_parts")
    steps = [each for made in graphs for each in made.values()]
    told = [{name: getattr(each, name) for name in names} | {"step": each.name} for each in steps]
    return json.loads(json.dumps(told))


def why(title: str, plan: dict[str, Step], *made: dict[str, Step]) -> str:
    stored = manifests(*made)
    present = {manifest["key"] for manifest in stored}
    running = [each.key for each in plan.values() if each.key not in present]
    return KeyHistory(plan.values(), stored).why(plan[title], running)


def test_the_setting_that_differs_is_named_with_both_values():
    assert why("train", graph(rate=0.5), graph()) == "train.rate 0.1 -> 0.5"


def test_what_an_input_differs_in_is_named_once_by_whatever_inputs_it_comes():
    assert why("attribute iba", graph(rate=0.5), graph()) == "train runs: train.rate 0.1 -> 0.5"


def test_an_input_that_is_in_the_store_already_does_not_run():
    plan, other = graph(rate=0.5), graph()
    del other["train"], plan["statistics"], plan["attribute iba"]
    found = why("attribute iba", graph(rate=0.5), graph(), plan)
    assert found == "train differs: train.rate 0.1 -> 0.5"


def test_the_nearest_artifact_is_the_one_with_the_fewest_differences():
    far, near = graph(rate=0.2, beta=5.0, version=2), graph(beta=20.0)
    assert why("attribute iba", graph(), far, near) == "settings.beta 20.0 -> 10.0"


def test_more_differences_than_a_line_holds_are_counted():
    plan = {"a": step("a", {name: 1 for name in "tuvwx"})}
    made = {"a": step("a", {name: 0 for name in "tuvwx"})}
    assert why("a", plan, made) == "t 0 -> 1; u 0 -> 1; v 0 -> 1; and 2 more"


def test_versions_settings_that_came_or_went_and_user_files_are_differences():
    assert why("train", graph(version=2), graph()) == "version 1 -> 2"
    assert why("a", {"a": step("a", {"new": 1})}, {"a": step("a", {"old": 2})}) == (
        "new (absent) -> 1; old 2 -> (absent)"
    )
    assert why("pack", graph(films="f1"), graph()) == "input films: key differs"


def test_an_input_whose_artifact_was_removed_is_named_without_its_settings():
    made = graph()
    del made["pack"], made["train"]
    assert why("statistics", graph(rate=0.5), made) == "input train: key differs"


def test_an_input_that_came_or_went_is_named():
    pack = step("pack", {})
    assert why("a", {"a": step("a", {}, pack=pack), "pack": pack}, {"a": step("a", {})}) == (
        "input pack added"
    )


def test_a_step_that_was_never_made_names_the_inputs_that_run_first():
    assert why("attribute iba", graph()) == "never made; statistics, train first"
    assert why("pack", graph()) == "never made"


def test_another_label_is_not_what_a_step_is_compared_with():
    other = {"attribute": step("attribute", {}, label="gradient")}
    assert why("attribute iba", graph(), other).startswith("never made")
