"""Settings on a command line: what Hydra would not read, or not as it was typed."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pipeline.config import SETTINGS, ConfigError, compose_config
from pipeline.overrides import OverrideError, check_overrides

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    *("röntgen", "films (1)", "a,b", "a=b", "[x]", "x[1]", "{a}", "x{a:1}", "a #1", "#1", "o'neil"),
    *("it's (a), {b} [c] = #d & ü;", 'say "ah"', 'o\'neil "b"', "2024_01", "1e3", "true", "a!b"),
    *("choice(a)", "a&b", "cost$(ls)", "a`b", "back\\slash,'", "end,\\", "日本", "a<b>c", "a;b^c"),
)
PLAIN = ("/data/nih", "a b", "a:b", "007", "12", "a-b.c_d@e%f+g*h?", "cost$", "null.d", "1.5")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_does_not_arrive_as_typed_is_answered_with_the_form_that_does(name):
    with pytest.raises(OverrideError) as caught:
        check_overrides([f"paths.outputs={name}"], SETTINGS, sweep=False)
    said, form = str(caught.value).split(" quotes: ")
    assert said.startswith("paths.outputs: ")
    assert "\n" not in form
    typed = subprocess.run(["sh", "-c", f"printf %s {form}"], capture_output=True, check=True)
    check_overrides([typed.stdout.decode()], SETTINGS, sweep=False)
    assert OverridesParser.create().parse_override(typed.stdout.decode()).value() == name


@pytest.mark.parametrize("name", PLAIN)
def test_a_name_that_arrives_as_typed_needs_no_quotes(name):
    check_overrides([f"paths.outputs={name}"], SETTINGS, sweep=False)
    assert str(OverridesParser.create().parse_override(f"paths.outputs={name}").value()) == name


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "train.epochz=3",
            r"train\.epochz: there is no such setting; did you mean train\.epochs\?",
        ),
        ("paths.nihh=/x", r"paths\.nihh: .*did you mean paths\.nih\?"),
        ("trains.epochs=3", "trains: there is no such setting"),
        ("train.epochs=many", "train.epochs: Value 'many'"),
        ("train.epochs=(", r"train\.epochs=\(: is not key=value"),
        ("attribution.iba=3", "attribution.iba: "),
        ("model.init={a:1}", "\"model.init='{a:1}'\""),
        ("experimnt=nih", "experimnt"),
        ("experiment=nihh", "experiment/nihh.* brixia chestxdet demo films nih"),
        ("attribution.methods=iba,random", r"use key=\[value1,value2\]"),
        ("/data/nih", "/data/nih: is not key=value"),
        ("röntgen=3", "röntgen=3: is not key=value"),
        ("model.init=/d/${x}", "model.init: Interpolation key 'x' not found"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named_in_one_line(override, said):
    with pytest.raises(OverrideError, match=said) as caught:
        compose_config([override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("door", ["status", "housekeeping", "tools.frontier"])
@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("paths.nih=/data/röntgen", "\"paths.nih='/data/röntgen'\""),
        ("train.epochz=3", "train.epochz"),
        ("model.init=" + "a" * 120 + ",b", "\"model.init='" + "a" * 120 + ",b'\""),
    ],
)
def test_every_front_door_answers_in_one_line(capsys, door, override, said):
    assert import_module(f"pipeline.{door}").main([override]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert said in lines[0]


def run(home: Path, *arguments: str) -> tuple[int, list[str]]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": f"{ROOT}"}
    done = subprocess.run(
        command,
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["paths.nih=/data/röntgen"], "\"paths.nih='/data/röntgen'\""),
        (["paths.nih=/data/a,b", "seed=0,1", "-m"], "\"paths.nih='/data/a,b'\""),
        (["paths.outputs=/${x}"], "Interpolation key 'x' not found"),
        (["train.epochz=1,2", "-m"], "train.epochz: there is no such setting"),
    ],
)
def test_hydras_own_pages_of_errors_are_one_line_too(tmp_path, overrides, said):
    code, lines = run(tmp_path, *overrides)
    assert code == 1
    assert len(lines) == 1
    assert said in lines[0]


def test_a_run_and_a_sweep_find_folders_of_any_name_in_quotes(tmp_path):
    name = "r ö,=(#)[x]{y}"
    overrides = ["experiment=nih", f"paths.nih='/nowhere/{name}'", f"paths.outputs='~/{name}'"]
    for more in ([], ["seed=0,1", "-m"]):
        code, lines = run(tmp_path, *overrides, *more)
        assert code == 1
        assert f"error: paths.nih: there is no folder /nowhere/{name}" in lines
        assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_tilde_is_the_home_folder_in_every_path_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ("nih", "brixia", "lungs", "outputs")
    overrides = [f"paths.{name}='~/{name}'" for name in names]
    config = compose_config(
        ["experiment=nih", "brixia=files", *overrides, "model.init='~/init.pt'"]
    )
    assert [getattr(config.paths, name) for name in names] == [f"{tmp_path}/{n}" for n in names]
    assert config.model.init == f"{tmp_path}/init.pt"
    assert compose_config(["model.init=random"]).model.init == "random"


def test_the_store_s_command_lies_beside_the_store(tmp_path):
    command = [sys.executable, "-m", "pipeline.store", f"paths.outputs={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "0 in all" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("given", ["'~nobody-of-here/x'", ""])
def test_a_path_that_means_no_folder_is_refused(given):
    with pytest.raises(ConfigError, match=r"paths.outputs: "):
        compose_config([f"paths.outputs={given}"])
