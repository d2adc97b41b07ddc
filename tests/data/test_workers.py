"""Worker processes and the death of their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.workers import worker_pool

ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import multiprocessing, time
from data.workers import worker_pool

if __name__ == "__main__":
    with worker_pool(2) as pool:
        pool.submit(int, 1).result()
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        time.sleep(600)
"""


def is_alive(process: int) -> bool:
    """Whether the process is there and is more than an entry that nobody has collected."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells processes by /proc")
def test_workers_die_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    workers = [int(number) for number in parent.stdout.readline().split()]
    assert workers
    assert all(is_alive(worker) for worker in workers)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    limit = time.monotonic() + 60
    while any(is_alive(worker) for worker in workers):
        assert time.monotonic() < limit, "a worker outlived its parent"
        time.sleep(0.05)


def wait_for(path: Path, limit: float) -> None:
    while not path.exists() and time.monotonic() < limit:
        time.sleep(0.01)


def test_an_interrupt_does_not_wait_for_work_that_has_not_begun(tmp_path):
    cancelled = tmp_path / "cancelled"
    jobs = []

    def interrupted() -> None:
        with worker_pool(1) as pool:
            pool.submit(os.getpid).result()
            limit = time.monotonic() + 60
            jobs.extend(pool.submit(wait_for, cancelled, limit) for _ in range(50))
            jobs[-1].add_done_callback(lambda _: cancelled.touch())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(job.cancelled() or job.result(timeout=0) is None for job in jobs)
    assert sum(job.cancelled() for job in jobs) > 40
