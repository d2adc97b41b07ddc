"""SIGINT and SIGTERM end a run cleanly: locks are released, finished work stays."""

import signal
import sys
from types import FrameType

from pipeline.progress import console, log

_SIGNAL_EXIT = 128


def stop_on_signals() -> None:
    """From now on, either signal ends this process with 128 + its number: 130 or 143."""
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)


def _stop(number: int, _frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    console.print(f"\nstopped by {name}; the same command goes on where this one stopped")
    log.info("stopped by %s", name)
    sys.exit(_SIGNAL_EXIT + number)
