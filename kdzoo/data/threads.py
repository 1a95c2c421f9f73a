"""Work on the images of a batch, each image in one thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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
    torch.set_num_threads(1)  # threads that begin now have this number
    try:
        with ThreadPoolExecutor(min(threads, count), thread_name_prefix="views") as pool:
            for done in [pool.submit(some) for _ in range(min(threads, count))]:
                done.result()
    finally:
        torch.set_num_threads(threads)
