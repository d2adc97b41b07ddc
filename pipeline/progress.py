"""Progress of a run: bars in a terminal, plain lines elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

console = Console(highlight=False)
_SECONDS_BETWEEN_LINES = 30
_WIDTH = 200
log = logging.getLogger("pipeline")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="dim")


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A callback ``(done, total)``: a bar in a terminal, else a line every 30 seconds."""
    if not console.is_terminal:
        yield _lines(title)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def _lines(title: str) -> Callable[[int, int], None]:
    watch, first, last = Stopwatch(), -1, 0.0

    def report(done: int, total: int) -> None:
        nonlocal first, last
        if first < 0:
            first = done  # shards of an earlier run do not count for the rate
        seconds = watch.seconds
        if seconds - last >= _SECONDS_BETWEEN_LINES and done > first:
            last = seconds
            rate = (done - first) / seconds
            left = seconds_text((total - done) / rate)
            say(f"{title}: {done:,} of {total:,}, {rate:.2g}/s, {left} left")

    return report


def say(text: str) -> None:
    """One line on screen and in ``pipeline.log``."""
    console.print(text, markup=False, soft_wrap=True)
    log.info(text)


def show_table(table: Table) -> None:
    """On screen; ``_WIDTH`` columns wide where the output is no terminal."""
    (console if console.is_terminal else Console(width=_WIDTH)).print(table)


def seconds_text(seconds: float) -> str:
    """``7.3 s`` or ``2 min 05 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start
