"""How fast are photographs: views, streaming, epochs, memory, and the scan of many files?

    python benchmarks/photographs.py --folder DIR --write docs/benchmarks/photographs.md

The photographs are made in DIR: the pictures of scikit-learn and, if it is installed (pip install scikit-image),
scikit-image, cropped at random to 500x375, JPEG of quality 90. Against timm's loader with as many workers as there
are cores: random resized crop (8 % to all of the area, bicubic), flip, and jitter of brightness, contrast and
saturation by up to 0.4. timm has processes of its own, since those of kdzoo keep the memory that they free.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images
from speed import BATCH, TEACHER, Alternate, Times, TimmLoop, cpu, kdzoo_run, split_of_an_epoch
from timm.data import create_dataset, create_loader

from kdzoo.api import EpochEnded, Event
from kdzoo.data.folder import scan
from kdzoo.data.open import open_data
from kdzoo.engine.checkpoint import CheckpointFile
from kdzoo.engine.components import algorithm_of
from kdzoo.engine.loop import Loop
from kdzoo.jobs.freed import keep_freed_memory
from kdzoo.recipe.data import DataConfig
from kdzoo.recipe.identity import Identity

CPU = torch.device("cpu")
WIDTH, HEIGHT, QUALITY = 500, 375, 90
VIEWS = {"scale": (0.08, 1.0), "hflip": 0.5, "color": 0.4, "interpolation": "bicubic"}
Found = TypeVar("Found")
Parts = list[tuple[str, float]]
TESTED = 10
"""One file in so many is a test image."""

SMALL_FILES = 100_000
_SKIMAGE = "astronaut", "chelsea", "coffee", "rocket", "retina", "immunohistochemistry", "hubble_deep_field"


def pictures() -> dict[str, NDArray[np.uint8]]:
    """The pictures to crop from, by name; those that would have to be downloaded are left out."""
    china, flower = load_sample_images().images
    found = {"china": china, "flower": flower}
    try:
        from skimage import data
    except ImportError:
        print("scikit-image is not installed: scikit-learn's two pictures only", file=sys.stderr)
        return found
    for name in _SKIMAGE:
        try:
            picture = getattr(data, name)()
        except Exception as error:  # whatever its downloader raises without a network
            print(f"scikit-image's {name} is left out: {error}", file=sys.stderr)
            continue
        if picture.ndim == 3 and picture.shape[2] == 3 and min(picture.shape[:2]) >= HEIGHT // 2:
            found[name] = picture
    return found


def photographs(folder: Path, count: int) -> str:
    """Make the photographs unless they are there; returns what they were cut from."""
    random, sources = np.random.default_rng(0), pictures()
    names = sorted(sources)
    for number in range(count):
        name, split = names[number % len(names)], "test" if number // len(names) % TESTED == 0 else "train"
        path = folder / split / name / f"{number:05}.jpg"
        source = Image.fromarray(sources[name])
        size = np.array([WIDTH, HEIGHT]) * min(1.0, source.width / WIDTH, source.height / HEIGHT)
        size *= random.uniform(0.6, 1.0)
        left, top = random.uniform(0, 1, 2) * (np.array(source.size) - size)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            cut = source.resize(
                (WIDTH, HEIGHT), Image.Resampling.BICUBIC, (left, top, left + size[0], top + size[1])
            )
            cut.save(path, quality=QUALITY)
    return ", ".join(names)


def epochs_of(batches: Callable[[int], Iterator[int]], epochs: int) -> tuple[float, float]:
    """Seconds of the first epoch, and images a second in the others: the median over them."""
    rates = []
    for epoch in range(1 + epochs):
        start = time.perf_counter()
        images = sum(batches(epoch))
        seconds = time.perf_counter() - start
        rates.append((images / seconds, seconds))
    return rates[0][1], float(np.median([rate for rate, _ in rates[1:]]))


def ours(folder: Path, side: int, cache: Path, epochs: int, streamed: bool) -> tuple[float, float]:
    """Kdzoo's views: seconds until the first epoch is over, opening included, and images a second after it."""
    start = time.perf_counter()
    config = DataConfig.model_validate(
        {"data_dir": folder, "img_size": side, "batch_size": BATCH, "val_fraction": 0, "augment": VIEWS,
         "cache_gb": 0 if streamed else 100}
    )  # fmt: skip
    data = open_data(config, seed=0, device=CPU, cache_dir=cache)
    opened = time.perf_counter() - start

    def batches(epoch: int) -> Iterator[int]:
        data.train.set_epoch(epoch)
        for batch in data.train:
            yield len(batch.index)

    first, rate = epochs_of(batches, epochs)
    return opened + first, rate


def theirs(folder: Path, side: int, workers: int, epochs: int) -> tuple[float, float]:
    """The same of timm's loader."""
    loader = create_loader(
        create_dataset("", root=str(folder), split="train"), input_size=(3, side, side), batch_size=BATCH,
        is_training=True, scale=VIEWS["scale"], hflip=VIEWS["hflip"], color_jitter=VIEWS["color"],
        interpolation=VIEWS["interpolation"], num_workers=workers, use_prefetcher=False, device=CPU,
        persistent_workers=True,
    )  # fmt: skip
    return epochs_of(lambda epoch: (len(images) for images, _ in loader), epochs)


def distillation(folder: Path, side: int, workers: int, epochs: int) -> tuple[Times, Times, Parts]:
    """Seconds per step of kd in kdzoo, and in timm with its own task, loader and views; epochs alternate.

    The third are milliseconds of the parts of kdzoo's step, each alone.
    """
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        mine, other = Times(), Times()

        def observe(event: Event) -> None:
            if isinstance(event, EpochEnded):
                mine.epochs.append(event.metrics["seconds"] / len(run.data.train))

        run, zoo, recipe = kdzoo_run(folder, epochs, place, observe, img_size=side, augment=VIEWS)
        with apart(_begin, folder, place / "teacher.pth", workers, side) as timm_s:
            alternate = Alternate(
                algorithm_of(recipe, zoo).phases,
                epochs,
                lambda: other.epochs.append(timm_s.submit(_epoch).result()),
            )
            Loop(run, CheckpointFile(place, Identity({})), dict).train(alternate, None)
        parts = split_of_an_epoch(run, statistics.median(mine.epochs[1:]))
    for one in (mine, other):
        del one.epochs[0]
    return mine, other, parts


def apart(begin: Callable[..., None] | None = None, *given: object) -> ProcessPoolExecutor:
    """One process that does what is asked of it, after ``begin``; it has nothing of this one."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=begin, initargs=given)


_LOOPS: list[TimmLoop] = []
"""The loop of a process that trains with timm."""


def _begin(folder: Path, weights: Path, workers: int, side: int) -> None:
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    teacher = timm.create_model(TEACHER, num_classes=len(list((folder / "train").iterdir())))
    teacher.load_state_dict(torch.load(weights, weights_only=True))
    views = {"color_jitter": VIEWS["color"], "interpolation": VIEWS["interpolation"]}
    _LOOPS.append(TimmLoop(folder, teacher, workers, side, **views))


def _epoch() -> float:
    """Train an epoch with timm; seconds per step."""
    seconds, steps = _LOOPS[0].epoch()
    return seconds / steps


def peak_memory(folder: Path, files: int, classes: int) -> float:
    """MiB that a process takes at most while it streams so many files once."""
    keep_freed_memory()
    config = DataConfig.model_validate(
        {"data_dir": folder, "img_size": 160, "batch_size": 32, "val_fraction": 0, "augment": VIEWS,
         "cache_gb": 0, "train_per_class": files // classes, "test_per_class": 1}
    )  # fmt: skip
    for _ in open_data(config, seed=0, device=CPU).train:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def seconds_to_scan(count: int) -> float:
    """Seconds to find so many small files of 100 classes, once they are in the system's cache."""
    with tempfile.TemporaryDirectory() as temporary:
        root, example = Path(temporary), Path(temporary) / "example.png"
        Image.new("RGB", (8, 8)).save(example)
        content = example.read_bytes()
        for number in range(count):
            place = (
                root
                / "set"
                / ("test" if number % TESTED == 0 else "train")
                / f"class{number // TESTED % 100:03}"
            )
            if number < TESTED * 100:
                place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:06}.png").write_bytes(content)
        config = DataConfig(data_dir=root / "set")
        start = time.perf_counter()
        found = scan(root / "set", config)
        seconds = time.perf_counter() - start
        assert len(found.train.names) + len(found.test.names) == count
        return seconds


def asked(work: Callable[..., Found], *given: object) -> Found:
    """What ``work`` returns in a process of its own."""
    with apart() as process:
        return process.submit(work, *given).result()


def measure(folder: Path, flags: argparse.Namespace) -> str:
    """Run everything and return the page."""
    sources = photographs(folder, flags.files)
    classes = len(list((folder / "train").iterdir()))
    cores, lines = flags.workers, []
    for side in (224, 160):
        with tempfile.TemporaryDirectory() as temporary:
            rows = [
                ("kdzoo, decoded once", ours(folder, side, Path(temporary), flags.epochs, streamed=False)),
                ("kdzoo, streamed", ours(folder, side, Path(temporary), flags.epochs, streamed=True)),
                ("timm's loader", asked(theirs, folder, side, cores, flags.epochs)),
            ]
        base = rows[-1][1][1]
        lines += [
            f"| {side} | {name} | {first:.1f} | {rate:.0f} | {rate / base:.2f} |"
            for name, (first, rate) in rows
        ]
    mine, other, parts = distillation(folder, 160, cores, 1 + flags.epochs)
    networks = sum(milliseconds for name, milliseconds in parts if name.startswith(("teacher", "student")))
    small, large = flags.files // 4, flags.files * (TESTED - 1) // TESTED
    memory = [(files, asked(peak_memory, folder, files, classes)) for files in (small, large)]
    many = SMALL_FILES // (20 if flags.quick else 1)
    return "\n".join(
        [
            "# Photographs",
            "",
            f"Made by `{flags.command}` ({flags.files} photographs of {WIDTH}x{HEIGHT} pixels, cut from {sources}; "
            "the script says what is compared).",
            "",
            f"{cpu()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of kdzoo, {cores} workers of timm; "
            f"Python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}.",
            "",
            "Views alone: random resized crop, flip, colour jitter.",
            "",
            "| px | loader | first epoch, with opening, s | images/s after it | times timm's |",
            "|---:|---|---:|---:|---:|",
            *lines,
            "",
            "Epochs of kd, test_resnet -> test_efficientnet, 160 px, with these views, alternated:",
            "",
            "| loop | ms per step (median of epochs) | fastest to slowest | times timm's |",
            "|---|---:|---:|---:|",
            f"| kdzoo distill | {mine.median:.0f} | {mine.spread} | {other.median / mine.median:.2f} |",
            f"| timm's LogitDistillationTask and loader | {other.median:.0f} | {other.spread} | 1 |",
            "",
            "Where a step of kdzoo goes (each part measured alone, on the same batches):",
            "",
            "| part | ms per step |",
            "|---|---:|",
            *(f"| {name} | {milliseconds:.0f} |" for name, milliseconds in parts),
            "",
            f"The networks alone take {networks:.0f} ms: a kdzoo whose views cost nothing would be "
            f"{other.median / networks:.2f} times as fast as timm.",
            "",
            "Peak memory of the main process while it streams: "
            + ", ".join(f"{files} files {peak:.0f} MiB" for files, peak in memory)
            + ".",
            "",
            f"A folder of {many} small files is scanned in {seconds_to_scan(many):.1f} s.",
            "",
        ]
    )


def main() -> None:
    """Read the flags, measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where the photographs are made, or lie from before")
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=3, help="after the first, which is stated apart")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of timm's loader")
    parser.add_argument("--quick", action="store_true", help="few files and epochs, to see that it runs")
    parser.add_argument("--write", type=Path, help="also write the page to this file")
    flags = parser.parse_args()
    flags.command = f"python benchmarks/photographs.py --files {flags.files} --epochs {flags.epochs}"
    if flags.quick:
        flags.files, flags.epochs = min(flags.files, 600), 1
        flags.command = "python benchmarks/photographs.py --quick"
    warnings.filterwarnings("ignore", message=".*pin_memory.*")  # timm asks for it; a CPU has none
    keep_freed_memory()  # as every training on a CPU does
    with tempfile.TemporaryDirectory() as temporary:
        text = measure(flags.folder or Path(temporary), flags)
    print(text)
    if flags.write:
        flags.write.parent.mkdir(parents=True, exist_ok=True)
        flags.write.write_text(text)


if __name__ == "__main__":
    main()
