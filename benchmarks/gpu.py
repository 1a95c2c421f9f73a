"""Everything that wants a GPU, in order of worth; a call goes on where the one before stopped.

    python benchmarks/gpu.py --minutes 10 --output runs/gpu      as often as it takes
    python benchmarks/gpu.py --quick                             on a CPU in minutes: does the script run?

(a) correctness: the checks of the conformance kit that a device can change, for every component; every method for a
    few steps; whether exported students give there what they give on the CPU;
(b) speed: a kd step of two pairs in several loops, with the times that the host waits and the device is busy;
(c) truth: the table of attention transfer on CIFAR-10, several runs at once;
(d) data-free distillation on CIFAR-10, as long as time allows.

What fails is a row with its reason, and the rest goes on. Each part is a small JSON file in ``OUTPUT/parts``, which
is never done twice: remove a file to repeat it. ``--write`` is the page of all that is known so far.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PARTS = ("a", "b", "c", "d")
AT_ONCE = 6
"""Names that a process takes: importing torch costs as much as a component."""

SECONDS_EACH = 300.0
SECONDS_TO_SAVE = 45.0
"""What a suite has to save its runs when time is up."""

SUITES = {
    "attention": ("cifar10-attention", ("at", "kd", "at-kd"), ("w16-2>w16-1", "w40-1>w16-1", "w40-2>w16-2")),
    "data-free": ("cifar10-datafree", ("fast", "dafl"), ("r34>r18",)),
}
"""Part -> its suite, methods, and pairs in their order."""

LITTLE = {
    "dafl": {"algorithm.steps": 1, "algorithm.width": 4},
    "fast": {
        "algorithm.steps": 1,
        "algorithm.student_steps": 1,
        "algorithm.inner_steps": 1,
        "algorithm.width": 4,
        "algorithm.warmup": 1,
    },
}
"""What makes a method small."""

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "WANDB_MODE": "disabled",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # what deterministic algorithms ask for
}


@dataclass(frozen=True)
class Call:
    """One call of the script.

    Attributes:
        output: folder of the state.
        ends: ``time.monotonic()`` at which nothing may run any more.
        device: cuda or cpu.
        quick: little networks and few images.
        jobs: processes at once.
        data_dir: CIFAR-10 as an image folder, or None.
    """

    output: Path
    ends: float
    device: str
    quick: bool
    jobs: int
    data_dir: Path | None

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.monotonic()

    @property
    def images(self) -> Path:
        """An image folder: CIFAR-10, or one that is made up."""
        if self.data_dir is not None:
            return self.data_dir
        made = self.output / "made"
        if not made.exists():
            from speed import random_folder

            random_folder(self.output / "making", 1024 if self.quick else 12_800)
            (self.output / "making").rename(made)
        return made

    def place(self, kind: str, name: str) -> Path:
        """The file of a part."""
        return self.output / "parts" / kind / f"{quote(name, safe='')}.json"


def work(call: Call, kind: str, names: Sequence[str]) -> None:
    """In a process of its own: do several items of a kind, each into its file."""
    sys.path.insert(0, str(HERE))
    import gpu_correct
    import gpu_speed

    does: Mapping[str, Callable[[str], dict[str, Any]]] = {
        "checked": lambda name: gpu_correct.checked(name, call.device),
        "ran": lambda name: gpu_correct.ran(name, call.device),
        "timed": lambda name: gpu_speed.timed(
            name, call.device, call.images, 4 if call.quick else 100, call.quick
        ),
    }
    for name in names:
        print(json.dumps(name), flush=True)  # the last one is to blame if this process dies
        try:
            row = does[kind](name)
        except BaseException as error:  # whatever a plugin raises is the row of its item
            if isinstance(error, KeyboardInterrupt):
                raise
            row = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]}
        keep(call.place(kind, name), row)


def keep(place: Path, row: Mapping[str, Any]) -> None:
    """Write a part whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    making = place.with_suffix(f".{os.getpid()}")
    making.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    making.replace(place)


def in_processes(call: Call, kind: str, names: Sequence[str], jobs: int) -> None:
    """Do the items that have no file yet, several processes at once, until time is up."""
    waiting = [name for name in names if not call.place(kind, name).exists()]
    if waiting:
        print(f"{kind}: {len(waiting)} of {len(names)} to do", flush=True)
    size = max(1, min(AT_ONCE, -(-len(waiting) // jobs)))

    def some(_: int) -> None:
        while waiting and call.left > 0:
            batch = [waiting.pop(0) for _ in range(min(size, len(waiting)))]
            while batch and call.left > 0:
                _process(call, kind, batch)
                batch = [name for name in batch if not call.place(kind, name).exists()]

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(some, range(jobs)))


def _process(call: Call, kind: str, batch: Sequence[str]) -> None:
    """One process for some items; an item that ends it, or takes too long, becomes a row."""
    command = [sys.executable, str(HERE / "gpu.py"), *_flags(call), "--work", kind, *map(quote, batch)]
    log = call.output / "logs" / f"{kind}-{quote(batch[0], safe='')}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    patience = min(call.left, SECONDS_EACH * len(batch))
    begun = time.monotonic()
    with log.open("w") as errors:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | ENVIRONMENT, cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
        try:
            said, _ = child.communicate(timeout=max(patience, 0.1))
        except subprocess.TimeoutExpired:
            _kill(child)
            said, _ = child.communicate()
            if call.left <= 0:
                return  # another call does it
            reason = f"no end in {time.monotonic() - begun:.0f} s"
        else:
            reason = f"its process ended with code {child.returncode}"
    done = [json.loads(line) for line in said.splitlines() if line.startswith('"')]
    culprit = done[-1] if done else batch[0]
    if not call.place(kind, culprit).exists():
        keep(call.place(kind, culprit), {"error": f"{reason}; {_last_line(log)}"})
    if not done:  # it cannot even begin: do not try for ever
        for name in batch:
            if not call.place(kind, name).exists():
                keep(call.place(kind, name), {"error": f"{reason}; {_last_line(log)}"})


def _kill(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "no message"


def _flags(call: Call) -> list[str]:
    flags = ["--output", str(call.output), "--device", call.device, *(["--quick"] if call.quick else [])]
    return [*flags, *(["--data-dir", str(call.data_dir)] if call.data_dir else [])]


def suite(call: Call, part: str) -> None:
    """A part that is a suite of kdzoo's: run it until time is up, and keep what it has so far."""
    name, methods, pairs = SUITES[part]
    for pair in pairs[:1] if call.quick else pairs:
        folder = call.output / "suites" / part / quote(pair, safe="")
        if call.left > SECONDS_TO_SAVE:
            command = [sys.executable, "-m", "kdzoo", "bench", name, "--output", str(folder), "--quiet"]
            command += ["--data-dir", str(call.images), "--pairs", pair, "--methods", ",".join(methods)]
            command += ["--workers", str(call.jobs), "--set", "observers=[]"]
            if call.quick:
                command[command.index(name)] = str(_little(call, name))
                command[command.index("--methods") + 1] = methods[-1]
                command += ["--seeds", "0", "--workers", "1"]
            reason = _bench(call, command, folder)
            if reason is not None:
                keep(call.place(part, pair), {"error": reason})
        with suppress(Exception):  # an unfinished suite may have nothing to read yet
            keep(call.place(part, pair), _rows(folder, pair))


def _little(call: Call, name: str) -> Path:
    """The file of a suite that is small enough for a CPU."""
    from gpu_correct import installed

    from kdzoo.yaml_text import to_yaml

    content = installed()[1].suites[name].model_dump(mode="json", exclude_unset=True)
    network = {"model": "cifar_resnet8.cifar10"}
    for pair in content["pairs"]:
        pair["teacher"], pair["student"] = {**network, "epochs": 1}, network
    content["epochs"] = 1
    content["data"] |= {"train_per_class": 4, "test_per_class": 2, "batch_size": 20}
    content["settings"] = content.get("settings", {}) | LITTLE
    file = call.output / "suites" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(to_yaml(content), encoding="utf-8")
    return file


def _bench(call: Call, command: Sequence[str], folder: Path) -> str | None:
    """Why the suite failed; None if it ended, or was stopped by the clock."""
    log = call.output / "logs" / f"{folder.parent.name}-{folder.name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "WANDB_MODE": "disabled"}
    with log.open("a") as said:
        child = subprocess.Popen(
            command, stdout=said, stderr=said, text=True, env=environment, cwd=ROOT, start_new_session=True
        )
        try:
            code = child.wait(max(0.1, call.left - SECONDS_TO_SAVE))
        except subprocess.TimeoutExpired:
            child.terminate()
            try:
                child.wait(SECONDS_TO_SAVE)
            except subprocess.TimeoutExpired:
                _kill(child)
            return None
    return None if code in (0, 1) else f"exit code {code}; {_last_line(log)}"


def _rows(folder: Path, pair: str) -> dict[str, Any]:
    """The leaderboard of a suite, finished or not."""
    from kdzoo.bench.results import read_results

    results = read_results(folder)
    found = results.pairs[0]
    rows = [
        {
            "method": row.entry,
            "seeds": len(row.seeds),
            "mean": row.last.mean,
            "half": row.last.half_width,
            "published": found.published[row.entry].value if row.entry in found.published else None,
            "seconds": row.seconds,
        }
        for row in found.rows
    ]
    failures = [f"{one.name}: {one.error}" for one in results.ledger.failures]
    return {"rows": rows, "unfinished": results.unfinished, "failures": failures}


def run(call: Call, parts: Sequence[str], write: Path) -> None:
    """The parts in order, and the page after each."""
    sys.path.insert(0, str(HERE))
    import gpu_correct
    import gpu_page
    import gpu_speed

    if "a" in parts:
        checked, ran = gpu_correct.components(), gpu_correct.methods()
        if call.quick:
            checked, ran = ["knowledge:kd", "scheme:offline"], ["baseline", "kd", "dml", "fitnet"]
        in_processes(call, "checked", checked, call.jobs)
        in_processes(call, "ran", ran, call.jobs)
        gpu_page.write(call.output, write, quick=call.quick)
    if "b" in parts:
        names = gpu_speed.names()
        if call.quick:
            names = [name for name in names if name.startswith("r32x4>r8x4 | 64")]
        in_processes(call, "timed", names, 1)
        gpu_page.write(call.output, write, quick=call.quick)
    for letter, part in (("c", "attention"), ("d", "data-free")):
        if letter in parts:
            suite(call, part)
            gpu_page.write(call.output, write, quick=call.quick)


def describe(device: str) -> dict[str, str]:
    """The machine, for the page."""
    import platform

    import torch

    from kdzoo.version import __version__

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {
        "device": name,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "kdzoo": __version__,
    }


def main() -> None:
    """Read the flags; run, or do the work of a process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="after which it stops, to go on in another call"
    )
    parser.add_argument("--output", type=Path, help="folder of the state (default: runs/gpu, runs/gpu-quick)")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "results" / "gpu.md", help="the page")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of a,b,c,d")
    parser.add_argument("--quick", action="store_true", help="little networks and few images")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda if there is one")
    parser.add_argument("--jobs", type=int, help="processes at once (default: by cores, at most 12)")
    parser.add_argument(
        "--data-dir", type=Path, default=os.environ.get("KDZOO_CIFAR10"), help="CIFAR-10 as an image folder"
    )
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    parts = given.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts {given.parts}: some of {','.join(PARTS)}, with commas between")
    if given.minutes <= 0:
        parser.error("--minutes must be more than 0")
    output = (given.output or ROOT / "runs" / ("gpu-quick" if given.quick else "gpu")).absolute()
    cores = len(os.sched_getaffinity(0))
    device = given.device
    if device is None:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    data_dir = Path(given.data_dir).absolute() if given.data_dir and Path(given.data_dir).is_dir() else None
    call = Call(
        output, time.monotonic() + 60 * given.minutes, device, given.quick,
        given.jobs or max(1, min(cores - 1, 12)), None if given.quick else data_dir,
    )  # fmt: skip
    if given.work:
        work(call, given.work[0], list(map(unquote, given.work[1:])))
        return
    if device == "cpu" and not given.quick:
        parser.error("there is no GPU; --quick tries the script on a CPU")
    call.output.mkdir(parents=True, exist_ok=True)
    keep(call.output / "machine.json", describe(device))
    run(call, parts, given.write)
    print(
        f"{given.write}: {'time is up; the same command goes on' if call.left <= 0 else 'all parts are done'}"
    )


if __name__ == "__main__":
    main()
