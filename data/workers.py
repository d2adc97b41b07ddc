"""Worker processes that stop with the process that started them, however it stops."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait


def usable_cores() -> list[int]:
    """Cores that this process may run on (a cgroup or taskset may allow fewer than there are)."""
    affinity = getattr(os, "sched_getaffinity", None)
    return sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of spawned processes. When the block is left, by an error or an interrupt too, only
    what they are at is finished; when this process is killed, they die."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=follow_parent)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def follow_parent() -> None:
    """In a worker: ignores Ctrl-C, and dies with the process that started it."""
    # Ctrl-C reaches every process of a terminal: what to do about it is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # a worker has one

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
