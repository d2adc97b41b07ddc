import json
from typing import Any

from pipeline.differences import KeyHistory
from pipeline.graph import RawFolder, Stage


def nothing(task: object) -> None:
    pass


def stage(name: str, settings: dict[str, Any], **inputs: Any) -> Stage:
    version, variant = inputs.pop("version", 1), inputs.pop("variant", "")
    return Stage(name, version, settings, inputs, nothing, (), variant)


def graph(
    rate: float = 0.1, beta: float = 10.0, films: str = "f0", **train: Any
) -> dict[str, Stage]:
    pack = stage("pack", {"side": 32}, films=RawFolder(None, films))  # type: ignore[arg-type]
    trained = stage("train", {"train": {"rate": rate, "epochs": 2}}, pack=pack, **train)
    tap = stage("statistics", {}, train=trained)
    maps = stage("attribute", {"settings": {"beta": beta}}, train=trained, tap=tap, variant="iba")
    return {each.title: each for each in (pack, trained, tap, maps)}


def manifests(*graphs: dict[str, Stage]) -> list[dict[str, Any]]:
    return [
        json.loads(
            json.dumps(
                {
                    "stage": each.name,
                    "variant": each.variant,
                    "key": each.key,
                    "key_parts": each.key_parts,
                }
            )
        )
        for made in graphs
        for each in made.values()
    ]


def why(title: str, plan: dict[str, Stage], *made: dict[str, Stage]) -> str:
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
    plan = {"a": stage("a", {name: 1 for name in "tuvwx"})}
    made = {"a": stage("a", {name: 0 for name in "tuvwx"})}
    assert why("a", plan, made) == "t 0 -> 1; u 0 -> 1; v 0 -> 1; and 2 more"


def test_versions_settings_that_came_or_went_and_raw_files_are_differences():
    assert why("train", graph(version=2), graph()) == "version 1 -> 2"
    assert why("a", {"a": stage("a", {"new": 1})}, {"a": stage("a", {"old": 2})}) == (
        "new (absent) -> 1; old 2 -> (absent)"
    )
    assert why("pack", graph(films="f1"), graph()) == "input films: key differs"


def test_an_input_whose_artifact_was_removed_is_named_without_its_settings():
    made = graph()
    del made["pack"], made["train"]
    assert why("statistics", graph(rate=0.5), made) == "input train: key differs"


def test_an_input_that_came_or_went_is_named():
    pack = stage("pack", {})
    assert why("a", {"a": stage("a", {}, pack=pack), "pack": pack}, {"a": stage("a", {})}) == (
        "input pack added"
    )


def test_a_stage_that_was_never_made_names_the_inputs_that_run_first():
    assert why("attribute iba", graph()) == "never made; statistics, train first"
    assert why("pack", graph()) == "never made"


def test_another_variant_is_not_what_a_stage_is_compared_with():
    other = {"attribute": stage("attribute", {}, variant="gradient")}
    assert why("attribute iba", graph(), other).startswith("never made")
