"""Modules import each other one way, and those of pipeline stand on floors that never look up."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WINGS = ("data", "models", "attribution", "evaluation", "pipeline")
FORBIDDEN = (
    *((wing, "pipeline") for wing in WINGS[:-1]),
    ("evaluation", "attribution"),
    ("attribution", "data"),
    ("models", "data"),
)
# Of pipeline, the lowest first; the name of a package stands for all that is in it.
FLOORS = {
    "keys": ("keys", "progress", "interrupts", "disk", "provenance"),
    "executors": ("executors",),
    "step": ("step",),
    "store": ("store",),
    "shards": ("shards", "training_processes"),
    "steps": ("steps",),
    # Above the steps, for a step sees its fields and no configuration.
    "config": (
        *("config", "brixia_config", "conf_files", "overrides"),
        *("config_checks", "film_checks"),
    ),
    "tasks": (
        *("task", "user_films", "explained_task", "scored_tasks", "tasks"),
        *("measures", "truth_measures"),
    ),
    "plan": ("plan", "differences", "claim_power"),
    "runner": ("runner", "finished_run"),
    "report": (
        *("history", "pseudonyms", "chapters", "statement", "report_content", "run_folder"),
        *("report_films", "report_results", "report_scores"),
        *("run", "spreadsheets", "unmet"),
    ),
    "commands": (
        *("__main__", "compare", "explain", "housekeeping", "report", "status", "tools"),
        "store.__main__",
    ),
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for wing in WINGS for path in (ROOT / wing).rglob("*.py")}


def imported(path: Path) -> set[str]:
    """The project's modules that a file names in an import: at its head, within functions and for
    type checkers alike, for who reads it needs them all."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= inside & MODULES.keys() or {node.module}
    return names & MODULES.keys()


GRAPH = {name: imported(path) for name, path in MODULES.items()}


def test_no_module_imports_itself_by_way_of_others():
    assert len(list(TopologicalSorter(GRAPH).static_order())) == len(MODULES)


@pytest.mark.parametrize(("wing", "other"), FORBIDDEN)
def test_a_wing_does_not_import(wing, other):
    of_wing = {name: found for name, found in GRAPH.items() if name.split(".")[0] == wing}
    assert of_wing
    for name, found in of_wing.items():
        assert not {each for each in found if each.split(".")[0] == other}, name


def floor_of(module: str) -> int | None:
    """The number of its floor; the longest name that fits is the one that counts."""
    fitting = [
        (len(name), number)
        for number, names in enumerate(FLOORS.values())
        for name in names
        if f"{module}.".startswith(f"pipeline.{name}.")
    ]
    return max(fitting)[1] if fitting else None


def test_every_module_of_pipeline_has_a_floor_and_none_imports_a_higher_one():
    modules = {name for name in MODULES if name.startswith("pipeline.")}
    floors = {name: floor_of(name) for name in modules}
    assert [name for name, floor in floors.items() if floor is None] == [], "place it in FLOORS"
    named = {f"pipeline.{name}" for names in FLOORS.values() for name in names}
    assert named - modules == set(), "FLOORS names what is gone"
    upwards = {
        (name, other)
        for name in modules
        for other in GRAPH[name] & modules
        if floors[other] > floors[name]
    }
    assert upwards == set()


def test_settings_and_packages_import_no_torch():
    names = [n for n, p in MODULES.items() if p.name in ("config.py", "__init__.py")]
    assert {"models.config", "pipeline.config", "attribution"} <= set(names)
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
