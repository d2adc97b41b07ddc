"""Images of a batch explained at the same time, each by its share of torch's threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from threading import Event
from typing import TypeVar

import torch

from attribution.base import TappedModel

T = TypeVar("T")


def num_concurrent(model: TappedModel, device: torch.device, num_images: int) -> int:
    """Into how many parts a batch is worth cutting: as many as torch has threads, on a CPU.

    1 unless ``model.concurrent`` says that threads may call the model at the same time: hooks and
    remembered images, as of attribution.tapped.TappedModule, would belong to all of them.
    """
    if device.type != "cpu" or not getattr(model, "concurrent", False):
        return 1
    return min(torch.get_num_threads(), num_images)


def side_by_side(
    explain: Callable[[slice, Callable[[], None]], T], num_images: int, parts: int
) -> list[T]:
    """``explain(rows, check)`` of ``parts`` slices of the batch, each in a thread of its own.

    The threads that torch has are shared out among them, which otherwise idle wherever the work is
    no large kernel (drawing noise, the mask, Python). ``check`` is to be called often: it raises
    once another part has failed or the caller is interrupted, so that none goes on alone.
    """
    if parts == 1:
        return [explain(slice(0, num_images), lambda: None)]
    ended = Event()

    def check() -> None:
        if ended.is_set():
            raise CancelledError

    ends = [num_images * part // parts for part in range(parts + 1)]
    rows = [slice(*each) for each in pairwise(ends)]
    # The pool's threads are new, so they take the number over.
    with torch_threads(torch.get_num_threads() // parts), ThreadPoolExecutor(parts) as pool:
        futures = [pool.submit(explain, each, check) for each in rows]
        try:
            return [future.result() for future in futures]
        finally:
            ended.set()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """In the block torch computes with ``count`` threads; afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
