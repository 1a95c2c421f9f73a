"""One of two processes that train a recipe together: ``python -m kdzoo.testing.rank RANK PORT FOLDER``.

Reads ``recipe.yaml`` in the folder; writes ``rankN.json``: what every role weighs in the end, or what went wrong.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from kdzoo.engine.run import TrainingRun
from kdzoo.engine.train import make_fabric, train
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import read_yaml
from kdzoo.testing.place import blame
from kdzoo.testing.watch import weights_of
from kdzoo.zoo import Zoo


def trained(rank: int, port: int, folder: Path) -> dict[str, str]:
    """Train as one of two processes; role -> hash of its weights."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    os.environ |= {"LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    runs: list[TrainingRun] = []
    begin_phase = TrainingRun.begin_phase

    def beginning(run: TrainingRun, *given: Any) -> None:
        runs.append(run)
        begin_phase(run, *given)

    recipe = Recipe.model_validate(read_yaml(folder / "recipe.yaml"))
    fabric = make_fabric(recipe, accelerator="cpu", devices=2)
    with mock.patch.object(TrainingRun, "begin_phase", beginning):
        train(recipe, folder / "run", zoo=Zoo(), fabric=fabric)
    return weights_of(runs[-1])


def main(rank: int, port: int, folder: Path) -> int:
    """Write the answer; 0 if there are weights."""
    try:
        answer: dict[str, Any] = {"weights": trained(rank, port, folder)}
    except Exception as error:  # whatever a component can raise
        what, where = blame(error)
        answer = {"error": what, "where": where, "time": time.time()}
    part = folder / f"rank{rank}.part"
    part.write_text(json.dumps(answer), encoding="utf-8")
    part.replace(folder / f"rank{rank}.json")
    if torch.distributed.is_initialized() and "weights" in answer:
        torch.distributed.destroy_process_group()
    return int("error" in answer)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
