"""``make torture ARGS="--campaign mutants"``: do the tests notice when the code is changed?

Every module of ``TARGETS`` is changed in one place at a time (an operator, a number, a condition, a
statement), and its own tests are run against the change, in a process that has torch loaded
already. A mutant is killed where a test fails or does not end. COUNT mutants of each module are
drawn; 0 takes all. Exit code 1 where less than 80 % are killed. The survivors are printed.
Hypothesis draws the same examples for every mutant, and shrinks none.
"""

import ast
import copy
import importlib.abc
import importlib.util
import io
import multiprocessing
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {
    "attribution.bottleneck": ("tests/attribution/test_bottleneck.py",),
    "evaluation.insertion_deletion": ("tests/evaluation/test_insertion_deletion.py",),
    "evaluation.localization": ("tests/evaluation/test_localization.py",),
    "pipeline.store": ("tests/pipeline/test_store.py", "tests/pipeline/test_housekeeping.py"),
}
ENOUGH = 0.8
SLOWER, AT_LEAST = 10, 60  # times what the sound module takes, or seconds: then a mutant hangs
LOADED = (
    "hypothesis",
    "pandas",
    "pytest",
    "scipy.stats",
    "sklearn.metrics",
    "torch",
    "torchvision",
    "torchcam",
)
OTHER_COMPARISON = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OTHER_OPERATOR = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


class Mutant(NamedTuple):
    line: int
    what: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Every change of one place. Annotations, docstrings and texts of errors stay as they are."""
    tree = ast.parse(source)
    found = []
    for number, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.stmt | ast.expr) and not _spared(tree, node):
            for name, change in _changes(node):
                other = copy.deepcopy(tree)
                twin = next(each for k, each in enumerate(ast.walk(other)) if k == number)
                change(twin)
                text = ast.unparse(ast.fix_missing_locations(other))
                found.append(Mutant(node.lineno, f"{name}: {ast.unparse(node)[:70]}", text))
    return sorted(found)


def _spared(tree: ast.Module, node: ast.AST) -> bool:
    if not hasattr(tree, "spared"):
        spared: set[int] = set()
        for each in ast.walk(tree):
            parts: list[ast.AST | None] = []
            if isinstance(each, ast.FunctionDef):
                parts = [
                    each.returns,
                    *(a.annotation for a in ast.walk(each.args) if hasattr(a, "annotation")),
                ]
            elif isinstance(each, ast.AnnAssign):
                parts = [each.annotation]
            elif isinstance(each, ast.JoinedStr):
                parts = [each]
            for part in parts:
                spared |= {id(below) for below in ast.walk(part)} if part else set()
        tree.spared = spared  # type: ignore[attr-defined]
    return id(node) in tree.spared  # type: ignore[attr-defined]


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    """What can be changed in a node, each change to be made in a copy of it."""

    def setting(**values: object) -> Callable[[ast.AST], None]:
        return lambda twin: [setattr(twin, name, value) for name, value in values.items()] and None

    def becomes(make: Callable[[ast.AST], ast.AST]) -> Callable[[ast.AST], None]:
        def change(twin: ast.AST) -> None:
            new = make(copy.copy(twin))
            twin.__class__ = new.__class__  # type: ignore[assignment]
            twin.__dict__.clear()
            twin.__dict__.update(new.__dict__)

        return change

    match node:
        case ast.Compare(ops=[operator]):
            yield "comparison", setting(ops=[OTHER_COMPARISON[type(operator)]()])
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator):
            if type(operator) in OTHER_OPERATOR:
                yield "operator", setting(op=OTHER_OPERATOR[type(operator)]())
        case ast.BoolOp(op=ast.And()):
            yield "and", setting(op=ast.Or())
        case ast.BoolOp():
            yield "or", setting(op=ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield "unary", becomes(lambda twin: twin.operand)  # type: ignore[attr-defined]
        case ast.Constant(value=bool(value)):
            yield "constant", setting(value=not value)
        case ast.Constant(value=int(value) | float(value)):
            yield "constant", setting(value=value + 1)
        case ast.Return(value=ast.expr()):
            yield "return", setting(value=ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise():
            yield "left out", becomes(lambda _: ast.Pass())
        case ast.If() | ast.IfExp() | ast.While():
            yield "condition", lambda twin: setattr(twin, "test", ast.UnaryOp(ast.Not(), twin.test))  # type: ignore[attr-defined]


def _file_of(name: str) -> Path:
    path = ROOT / name.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


class _Source(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a text, under the path of its file."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source
        self.path = _file_of(name)

    def find_spec(self, name: str, *_: object) -> object:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, self.path, "exec"), module.__dict__)


def _run_tests(name: str, source: str, tests: tuple[str, ...], seconds: int) -> None:
    """In a process of its own: ends with pytest's exit code, or after its seconds of processor."""
    import hypothesis
    import pytest

    os.chdir(ROOT)
    sys.meta_path.insert(0, _Source(name, source))
    draws = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, phases=draws
    )
    arguments = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        code = pytest.main([*arguments, *tests])
    os._exit(int(code))


def survives(name: str, source: str, tests: tuple[str, ...], seconds: int) -> bool:
    context = multiprocessing.get_context("fork")  # so that torch is not imported again
    process = context.Process(target=_run_tests, args=(name, source, tests, seconds))
    process.start()
    for _ in range(seconds):  # one by one, so that time in which the machine stands does not count
        process.join(1)
        if not process.is_alive():
            break
    process.kill()
    process.join()
    return process.exitcode == 0


def torture_mutants(count: int, seed: int, only: list[str]) -> int:
    """Runs all modules, prints the survivors, and returns 1 where too many live."""
    for name in LOADED:
        importlib.import_module(name)
    worst = 1.0
    for name, tests in TARGETS.items():
        if only and name not in only:
            continue
        source = _file_of(name).read_text(encoding="utf-8")
        began = time.monotonic()
        if not survives(name, ast.unparse(ast.parse(source)), tests, 10 * AT_LEAST):
            print(f"{name}: its tests fail as it is")
            return 1
        limit = max(AT_LEAST, round(SLOWER * (time.monotonic() - began)))
        drawn = mutants(source)
        if count and count < len(drawn):
            drawn = sorted(random.Random(seed).sample(drawn, count))
        began, living = time.monotonic(), []
        for each in drawn:
            if survives(name, each.source, tests, limit):
                living.append(each)
                print(f"  survives: {name} line {each.line}, {each.what}", flush=True)
        share = 1 - len(living) / len(drawn)
        worst = min(worst, share)
        print(
            f"{name}: {len(drawn) - len(living)} of {len(drawn)} mutants killed ({share:.0%}),"
            f" seed {seed}, {time.monotonic() - began:.0f} s",
            flush=True,
        )
    return int(worst < ENOUGH)
