"""Functions of the pool's workers in the tests; a separate module, since workers import it."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from kdzoo.api.observer import RunEnded
from kdzoo.bench.task import Task
from kdzoo.errors import KdzooError
from kdzoo.jobs.folder import exported
from kdzoo.jobs.teacher_folder import teacher_folder
from kdzoo.observers.journal import Journal
from kdzoo.recipe.writing import write


def act(task: dict[str, Any]) -> Any:
    match task["do"]:
        case "square":
            return {"value": task["number"] ** 2, "pid": os.getpid(), "torch": "torch" in sys.modules}
        case "environment":
            return {name: os.environ.get(name) for name in task["names"]}
        case "user error":
            raise KdzooError("data.lr: not\na number")
        case "raise":
            raise RuntimeError("first line\nsecond line")
        case "exit":
            sys.exit("a plugin exits")
        case "vanish":
            os._exit(7)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        case "print":
            print("said by a worker", flush=True)
        case "hang":
            Path(task["started"]).write_text(str(os.getpid()))
            try:
                time.sleep(600)
            finally:
                Path(task["ended"]).write_text("in order")
    return None


def pretend(task: Task) -> dict[str, Any]:
    """The files of a run without training: the accuracy is a function of method and temperature."""
    recipe = task.recipe
    trace = Path(str(task.folder).removesuffix(task.key)) / "trace.txt"
    with trace.open("a") as file:
        file.write(f"{task.key}\n")
    if task.teaches is not None:
        if recipe.roles["teacher"].epochs == 13:
            raise RuntimeError("unlucky")
        return {"seconds": 0.0, "test/last": 97.0, "folder": str(task.folder)}
    if recipe.method == "dkd" and recipe.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    temperature = recipe.knowledge[0].settings.get("temperature", 0) if recipe.knowledge else 0
    result: dict[str, Any] = {
        "test/last": 90.0 + temperature + recipe.seed % 10,
        "val/last": 100.0 - abs(temperature - 3),
        "test/chosen": 91.0,
        "parameters": 7,
        "seconds": 1.0,
        "process_seconds": 1.0,
        "peak_memory_mb": 100.0,
    }
    (task.folder / "student").mkdir(parents=True, exist_ok=True)
    (task.folder / "student" / "model.safetensors").write_text(str(recipe.seed))
    result["files"] = exported(task.folder / "student")
    write(recipe, task.folder / "recipe.yaml")
    task.identity.write(task.folder)
    Journal(task.folder / "metrics.jsonl").observe(RunEnded(task.folder, result))
    return result


def linger(task: Task) -> dict[str, Any]:
    """A run that does not end by itself; it makes progress if its seed is 1."""
    checkpoint = task.folder / "checkpoint" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if task.recipe.seed == 1:
        checkpoint.write_text(f"{time.time_ns():064}")
    (task.folder / "begun").write_text("")
    time.sleep(600)
    return {}


def train_teacher(task: Task) -> None:
    """The files of a teacher in the cache."""
    assert task.teaches is not None
    folder = teacher_folder(task.recipe.roles[task.teaches], task.identity)
    (folder / "student").mkdir(parents=True)
    (folder / "student" / "model.safetensors").write_text("weights")
    Journal(folder / "metrics.jsonl").observe(RunEnded(folder, {"files": exported(folder / "student")}))
