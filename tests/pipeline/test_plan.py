from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.config import compose_config
from pipeline.keys import DigestCache
from pipeline.plan import plan_run


def keys(folder: Path, overrides: Sequence[str]) -> dict[str, str]:
    config = compose_config(["experiment=smoke", "threads=1", *overrides])
    order = plan_run(config, DigestCache(folder / "digests.sqlite")).order
    return {stage.title: stage.key for stage in order}


@pytest.mark.parametrize(
    ("override", "first"),
    [
        ("threads=2", {"train bce", "predict", "statistics block3", "attribute iba"}),
        ("attribution.batch_size=3", {"attribute iba", "attribute gradient"}),
        ("attribution.shard_size=7", {"attribute iba", "attribute gradient"}),
        ("attribution.statistics.batch_size=3", {"statistics block3"}),
        ("dataset.pack_shard=7", {"pack"}),
        ("seed=1", {"train bce", "statistics block3", "select"}),
    ],
)
def test_what_changes_the_last_bits_is_in_the_key(tmp_path: Path, override: str, first: set[str]):
    before, after = keys(tmp_path, []), keys(tmp_path, [override])
    assert first <= {title for title in before if before[title] != after[title]}
    assert before["render"] == after["render"]
    assert before["index"] == after["index"]


@pytest.mark.parametrize(
    "override",
    ["paths.outputs=/elsewhere", "executor.device=cpu", "train.num_workers=1", "name=other"],
)
def test_where_and_by_what_it_is_computed_is_in_no_key(tmp_path: Path, override: str):
    assert keys(tmp_path, [override]) == keys(tmp_path, [])
