"""Correlation of untrained students' scores with their accuracy after distillation: makes rank.json and rank.md.

    python plugins/kdzoo-nas/benchmarks/rank.py --candidates 12 --seeds 0 1 2 --epochs 3

On the embedded digits. Candidates are drawn from the space of `diswot` around test_resnet; each is distilled
from the same teacher with labels and kd, and its test accuracy is the reference. The scores use no label of
the test split and no training. It takes minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from kdzoo.cli.flags import layer
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.testing.watch import KeepRun
from kdzoo.zoo import Zoo
from kdzoo_nas.diswot import Judge
from kdzoo_nas.space import plain
from kdzoo_nas.supernet import Builder

HERE = Path(__file__).parent
ZOO = Zoo()
REGISTRY = load_registry(ZOO)
SPACE = {"widths": (0.25, 0.5, 1.0), "depths": (1.0, 2.0), "kernels": (3,)}


def run(folder: Path, method: str, **settings: Any) -> tuple[dict[str, Any], Any]:
    """A run on the digits; returns its result and the run."""
    flags = {"teacher": "test_resnet", "teacher_epochs": 12, "student": "test_resnet", "batch_size": 64}
    quiet = {"observers": [], "checkpoint_seconds": 1e9, "data.val_fraction": 0.0, **settings}
    recipe = resolve(
        zoo=ZOO, registry=REGISTRY, method=method, layers=[*layer(**flags), Layer("rank", dotted(quiet))]
    )
    keep = KeepRun()
    result = train(recipe, folder, zoo=ZOO, listeners=[keep])
    return dict(result), keep.run


def measure(
    candidates: int, seeds: list[int], epochs: int, initialisations: int, folder: Path
) -> list[dict[str, Any]]:
    """One row for each candidate."""
    _, base = run(folder / "base", "kd", epochs=1, seed=0)
    builder = Builder(base, **SPACE)
    chance = random.Random("rank")
    drawn = list(dict.fromkeys(builder.space.draw(chance) for _ in range(candidates * 4)))[:candidates]
    judge = Judge(base, builder, initialisations=initialisations)  # weights and batches as in the registry
    rows = []
    for number, one in enumerate(drawn):
        accuracies = []
        for seed in seeds:
            settings = {"roles.student.kwargs": builder.arguments(one), "epochs": epochs, "seed": seed}
            result, _ = run(folder / f"{number}-{seed}", "kd", **settings)
            accuracies.append(result["test/last"])
        relation, semantic = judge.distances(one)
        rows.append(
            {
                "stages": plain(one),
                "parameters": builder.parameters(one),
                "relation": relation,
                "semantic": semantic,
                "accuracies": accuracies,
            }
        )
        print(rows[-1], flush=True)
    return rows


def correlations(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Spearman's with the mean accuracy, by score."""
    truth = [statistics.mean(row["accuracies"]) for row in rows]
    scores = {
        "diswot (relation + semantic)": [-row["relation"] - row["semantic"] for row in rows],
        "relation alone": [-row["relation"] for row in rows],
        "semantic alone": [-row["semantic"] for row in rows],
        "number of parameters": [row["parameters"] for row in rows],
    }
    return {name: float(spearmanr(values, truth).statistic) for name, values in scores.items()}


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--initialisations", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(asked.candidates, asked.seeds, asked.epochs, asked.initialisations, Path(folder))
    found = correlations(rows)
    lines = "\n".join(f"| {name} | {value:.2f} |" for name, value in found.items())
    (asked.output / "rank.json").write_text(
        json.dumps({"epochs": asked.epochs, "seeds": asked.seeds, "candidates": rows}, indent=1) + "\n"
    )
    (asked.output / "rank.md").write_text(
        f"Spearman's correlation with the mean test accuracy of {len(asked.seeds)} distilled trainings of "
        f"{asked.epochs} epochs each, {len(rows)} candidates:\n\n| score | correlation |\n|---|---|\n{lines}\n"
    )
    print(lines)


if __name__ == "__main__":
    main()
