"""What does a step with a sum of knowledges cost: one forward pass of each network and the sum of the losses?

    OMP_NUM_THREADS=1 python benchmarks/sums.py --write docs/benchmarks/sums.md
    python benchmarks/sums.py --device cuda --teacher resnet34 --student resnet18 --img-size 64 --batch 256

Digits; the same recipe with a knowledge that costs nothing, with each of three, and with their sum, one after the
other in several rounds, so that a drifting clock hits all of them. A step is timed from the beginning of its work on
the batch to the end of its update. Forward passes are counted in every step.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from kdzoo.api import Batch, Knowledge, Output, hookimpl
from kdzoo.api.run import Run
from kdzoo.engine.listeners import Listener, Moment
from kdzoo.jobs.train import make_fabric, train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.teacher import with_random_teachers
from kdzoo.zoo import Zoo
from kdzoo.zoo.plugin import Plugin, installed

WARM = 5
"""Steps that are not timed."""


class Nothing(Knowledge):
    """Looks at both answers and teaches nothing."""

    name = "nothing"
    kind = "response"

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """Zero, with a graph."""
        return 0 * (student.logits.sum() + teacher.logits.sum())


class Watch(Listener):
    """Seconds of each step, and forward passes of each network in it."""

    def __init__(self, device: str) -> None:
        self.seconds: list[float] = []
        self.passes: Counter[tuple[str, int]] = Counter()
        self._device = device
        self._size = 0
        self._now: Counter[str] = Counter()

    def step_began(self, run: Run, batch: Batch, moment: Moment) -> None:
        """Start the clock."""
        self._now.clear()
        self._wait()
        self._start = time.perf_counter()

    def seen(self, run: Run, role: str, batch: Batch, output: Output) -> None:
        """Count a pass."""
        self._now[role] += 1

    def step_ended(self, run: Run, batch: Batch, figures: object, moment: Moment) -> None:
        """Stop the clock."""
        self._wait()
        self.seconds.append(time.perf_counter() - self._start)
        self.passes.update(self._now.items())

    def _wait(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()


def made_zoo() -> Zoo:
    """The installed components and :class:`Nothing`."""
    module = ModuleType("kdzoo_nothing")

    def kdzoo_knowledge() -> list[type[Knowledge]]:
        return [Nothing]

    vars(module)["kdzoo_knowledge"] = hookimpl(kdzoo_knowledge)
    place = EntryPoint("nothing", "kdzoo_nothing", "kdzoo")
    return Zoo([*installed(), Plugin("nothing", "kdzoo_nothing", "kdzoo-nothing", "0", place, loaded=module)])


def measured(zoo: Zoo, knowledge: list[str], args: argparse.Namespace) -> Watch:
    """The steps of one short run."""
    keys = {
        "knowledge": knowledge if len(knowledge) > 1 else knowledge[0],
        "roles.teacher.model": args.teacher,
        "roles.student.model": args.student,
        "data.img_size": args.img_size,
        "data.batch_size": args.batch,
        "data.val_fraction": 0.0,
        "epochs": args.epochs,
        "checkpoint_seconds": 1e9,
        "observers": [],
    }
    recipe = resolve(
        zoo=zoo, registry=load_registry(zoo), method="kd", layers=[Layer("benchmark", dotted(keys))]
    )
    watch = Watch(args.device)
    fabric = make_fabric(recipe, accelerator=args.device)
    with tempfile.TemporaryDirectory() as folder:
        recipe = with_random_teachers(recipe)
        train(recipe, Path(folder) / "run", zoo=zoo, fabric=fabric, listeners=[watch])
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--teacher", default="test_resnet")
    parser.add_argument("--student", default="test_efficientnet")
    parser.add_argument("--parts", default="kd,fitnet,rkd")
    parser.add_argument("--img-size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    parts = args.parts.split(",")
    zoo = made_zoo()
    variants = [["nothing"], *([one] for one in parts), parts]
    seconds: dict[str, list[float]] = {"+".join(one): [] for one in variants}
    passes: dict[str, Counter[tuple[str, int]]] = {name: Counter() for name in seconds}
    for _ in range(args.rounds):
        for one in variants:
            watch = measured(zoo, one, args)
            seconds["+".join(one)].append(1000 * statistics.median(watch.seconds[WARM:]))
            passes["+".join(one)] += watch.passes
    best = {name: statistics.median(each) for name, each in seconds.items()}
    base, total = best["nothing"], best["+".join(parts)]
    expected = base + sum(best[one] - base for one in parts)
    device = torch.cuda.get_device_name() if args.device == "cuda" else f"{platform.machine()} CPU"
    given = sys.argv[1 : sys.argv.index("--write")] if "--write" in sys.argv else sys.argv[1:]
    command = " ".join(["python benchmarks/sums.py", *given])
    lines = [
        "# Cost of a sum of knowledges",
        "",
        f"Measured with `{command}`",
        f"on {device}, torch {torch.__version__}, {torch.get_num_threads()} threads:",
        f"{args.teacher} teaches {args.student} at {args.img_size} pixels in batches of {args.batch}. Milliseconds a "
        f"step, the median over {args.rounds}",
        "rounds of the median over the steps of a short run.",
        "",
        "| knowledge | ms a step | least and most | above nothing | passes of each network in a step |",
        "|---|---:|---|---:|---|",
    ]
    for name, each in seconds.items():
        counts = sorted({count for _, count in passes[name]})
        lines.append(
            f"| {name} | {best[name]:.2f} | {min(each):.2f} to {max(each):.2f} | {best[name] - base:.2f} | "
            f"{', '.join(map(str, counts))} |"
        )
    lines += [
        "",
        f"`nothing` and the three losses: {expected:.2f} ms. The sum: {total:.2f} ms, "
        f"{total / expected:.3f} times that.",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    if args.write:
        args.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
