"""Runs in a process of its own: ``child.py train RECIPE FOLDER`` or ``child.py rank RANK PORT FOLDER RECIPE...``."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo


def train_one(recipe: Path, folder: Path) -> None:
    from kdzoo.jobs.train import train

    zoo = Zoo()
    train(resolve(zoo=zoo, registry=load_registry(zoo), file=recipe), folder, zoo=zoo, resume=True)


def elements(module: Any) -> int:
    """How many numbers of the parameters lie in this process."""
    local = [one.to_local() if hasattr(one, "to_local") else one for one in module.parameters()]
    return sum(one.numel() for one in local)


def train_as_rank(rank: int, port: int, folder: Path, recipes: list[Path]) -> None:
    """Train each recipe as one of two processes; write what every role and connector weighs in the end."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    os.environ |= {"LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    import torch

    from kdzoo.jobs import train as engine
    from kdzoo.testing.watch import KeepRun, weights_of

    torch.set_num_threads(1)
    weights: dict[str, dict[str, str]] = {}
    zoo, accuracy, held = Zoo(), {}, {}
    for path in recipes:
        recipe = resolve(zoo=zoo, registry=load_registry(zoo), file=path)
        fabric = engine.make_fabric(recipe, accelerator="cpu", devices=2)
        assert fabric.world_size == 2
        keep = KeepRun()
        result = engine.train(recipe, folder / path.stem, zoo=zoo, fabric=fabric, listeners=[keep])
        weights[path.stem] = weights_of(keep.run)
        accuracy[path.stem] = result["test/last"]
        held[path.stem] = elements(keep.run.roles["teacher"]) if "teacher" in keep.run.roles else 0
        reduced = {
            how: float(keep.run.reduce(torch.tensor(1.0 + rank), how)) for how in ("mean", "sum", "max")
        }
    (folder / f"rank{rank}.json").write_text(
        json.dumps({"weights": weights, "accuracy": accuracy, "reduced": reduced, "held": held})
    )
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "train":
        train_one(Path(rest[0]), Path(rest[1]))
    else:
        train_as_rank(int(rest[0]), int(rest[1]), Path(rest[2]), [Path(one) for one in rest[3:]])
