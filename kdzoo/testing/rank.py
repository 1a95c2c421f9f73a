"""One of two processes that train recipes together: ``python -m kdzoo.testing.rank RANK``.

Reads a line per recipe from standard input: a port, a space, the folder with ``recipe.yaml``. Writes
``rankN.json`` there: hashes of every role's final weights, or the error, after which it exits.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from kdzoo.files import write_json
from kdzoo.jobs.train import make_fabric, train
from kdzoo.recipe.model import Recipe
from kdzoo.testing.frames import blame
from kdzoo.testing.watch import KeepRun, weights_of
from kdzoo.yaml_text import read_yaml
from kdzoo.zoo import Zoo


def trained(rank: int, port: int, folder: Path) -> dict[str, str]:
    """Train as one of two processes; role -> hash of its weights."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    os.environ |= {"LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    recipe = Recipe.model_validate(read_yaml(folder / "recipe.yaml"))
    fabric = make_fabric(recipe, accelerator="cpu", devices=2)
    keep = KeepRun()
    train(recipe, folder / "run", zoo=Zoo(), fabric=fabric, listeners=[keep])
    return weights_of(keep.run)


def answered(rank: int, port: int, folder: Path) -> bool:
    """Train and write the result; returns whether there are weights."""
    try:
        answer: dict[str, Any] = {"weights": trained(rank, port, folder)}
    except Exception as error:  # a component can raise anything
        what, where = blame(error)
        answer = {"error": what, "where": where, "time": time.time()}
    if torch.distributed.is_initialized() and "weights" in answer:
        torch.distributed.destroy_process_group()
    write_json(folder / f"rank{rank}.json", answer)
    return "weights" in answer


def main(rank: int) -> int:
    """Handle recipes until the input ends or one fails."""
    for line in sys.stdin:
        port, _, folder = line.rstrip("\n").partition(" ")
        if not answered(rank, int(port), Path(folder)):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
