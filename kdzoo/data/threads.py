"""Work on the images of a batch, each image in one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


def one_by_one(count: int, work: Callable[[int], None]) -> None:
    """Call ``work`` with the numbers below ``count``, in as many threads as torch has.

    torch's own operations take one thread each meanwhile. If they divided every pass over an image among all threads,
    these would wait for each other after each pass, and those of ``work`` would be many times as many as the cores.
    """
    threads = torch.get_num_threads()
    numbers = iter(range(count))

    def some() -> None:
        for number in numbers:
            work(number)

    if threads == 1 or count < 2:
        some()
        return
    with one_thread(), ThreadPoolExecutor(min(threads, count), thread_name_prefix="views") as pool:
        for done in [pool.submit(some) for _ in range(min(threads, count))]:
            done.result()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch's operations, and those of threads that begin now, take one thread each.

    Where other processes keep the cores busy, the threads of an operation wait for the one that has no core.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
