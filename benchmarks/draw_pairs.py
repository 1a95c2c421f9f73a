"""Draw the networks of tests/engine/test_pairs.py at random out of timm's registry.

    python benchmarks/draw_pairs.py --seed 1

Drawing builds some hundred networks without weights, which takes half a minute; the test keeps the result.
"""

from __future__ import annotations

import argparse
import random

import timm
import torch

KINDS = {
    "transformer": (
        "vit",
        "deit",
        "swin",
        "xcit",
        "cait",
        "beit",
        "mvit",
        "pvt",
        "coat",
        "tnt",
        "pit",
        "volo",
    ),
    "mlp": ("mixer", "gmlp", "resmlp"),
}
QUOTA = {"cnn": 20, "transformer": 16, "mlp": 4}
LARGEST = {"cnn": 9e6, "transformer": 9e6, "mlp": 20e6}
"""Parameters: twenty pairs shall take a minute or two on two cores."""


def kind(name: str) -> str:
    """CNN, transformer or MLP, by the name."""
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "cnn")


def draw(seed: int) -> list[str]:
    """One architecture of a family, except MLPs, of which timm has few."""
    names = timm.list_models()
    random.Random(seed).shuffle(names)
    wanted, families, found = dict(QUOTA), set(), []
    for name in names:
        sort, family = kind(name), timm.models.model_entrypoint(name).__module__
        if not wanted[sort] or (family in families and sort != "mlp"):
            continue
        with torch.device("meta"):
            model = timm.create_model(name)
        parameters = sum(one.numel() for one in model.parameters())
        small = parameters <= LARGEST[sort] and max(model.pretrained_cfg["input_size"]) <= 256
        if small and hasattr(model, "forward_intermediates"):
            wanted[sort] -= 1
            families.add(family)
            found.append(name)
    random.Random(seed).shuffle(found)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    print("\n".join(draw(parser.parse_args().seed)))
