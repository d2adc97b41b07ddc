import pytest

from pipeline.budget import BUDGET, budget_table, part_of
from pipeline.config import compose_config
from pipeline.keys import DigestCache
from pipeline.plan import plan_run


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("outputs")
    config = compose_config([f"paths.outputs={outputs}"])
    digests = DigestCache(outputs / "digests.sqlite")
    titles = [stage.title for stage in plan_run(config, digests).order]
    digests.close()
    return config, titles


def test_the_parts_of_the_demo_are_all_there_and_fit_in_30_minutes(demo):
    config, titles = demo
    assert set(map(part_of, titles)) == set(BUDGET)
    table = budget_table(config.name, dict.fromkeys(titles, 1.0)).set_index("part")
    assert table.loc["sum", "seconds"] == len(titles)
    assert table.loc["sum", "budget"] == table["budget"][:-1].sum() <= 30 * 60


@pytest.mark.parametrize(
    ("title", "part"),
    [
        ("pack brixia 112 px", "render, index, pack"),
        ("train bce", "pre-training and training"),
        ("attribute inverse_iba bce", "maps"),
        ("attribute gradient", "maps"),
        ("attribute gradient severity", "maps of films with zone scores"),
        ("evaluate insertion_deletion lrp detector", "insertion and deletion"),
        ("evaluate output_changes severity", "Sensitivity-N"),
        ("evaluate localization random", "other metrics, tables, figures"),
        ("claims", "other metrics, tables, figures"),
    ],
)
def test_a_stage_counts_in_its_part(title, part):
    table = budget_table("demo", {title: 2.5}).set_index("part")
    assert table.loc[part, "seconds"] == table.loc["sum", "seconds"] == 2.5


def test_no_other_experiment_has_the_demos_budget():
    assert list(budget_table("nih", {"render": 1.0}).columns) == ["part", "seconds"]
