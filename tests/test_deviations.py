"""docs/deviations.md is complete, and the settings that it names exist."""

import re
from pathlib import Path

from omegaconf import OmegaConf

from pipeline.config import PipelineConfig

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "deviations.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not line.startswith(("| no.", "|---"))
]


def test_each_known_contradiction_has_a_row_and_no_other_number_is_there():
    numbers = {row[0] for row in ROWS} - {"-"}
    assert numbers == {str(number) for number in range(1, 23)}


def test_every_row_says_what_was_chosen_and_why():
    for row in ROWS:
        assert len(row) == 6, row
        assert row[4], row
        assert row[5], row
    assert any(row[1] == "opencv-python" and "headless" in row[4] for row in ROWS)


def test_every_setting_that_a_row_names_by_its_path_is_one():
    config = OmegaConf.structured(PipelineConfig)
    groups = "|".join(name for name in config)
    paths = re.findall(rf"`((?:{groups})(?:\.\w+)+)[`:]", PAGE)
    assert len(paths) > 8
    for path in paths:
        OmegaConf.select(config, path, throw_on_missing=True)
        parent, _, name = path.rpartition(".")
        assert name in OmegaConf.select(config, parent), path
