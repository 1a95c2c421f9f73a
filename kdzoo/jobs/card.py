"""The model card that goes with an exported student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdzoo.jobs.lineage import Lineage
from kdzoo.jobs.named import named_figures
from kdzoo.markdown import code_block, markdown_text
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.writing import dump
from kdzoo.version import __version__
from kdzoo.yaml_text import to_yaml


def student_card(recipe: Recipe, result: Mapping[str, Any], lineage: Lineage) -> str:
    """Markdown: the model, its accuracy, its recipe."""
    teachers = " and ".join(lineage.teachers)
    made = f"distilled from {teachers}" if teachers else "trained without a teacher"
    method = markdown_text(recipe.method or recipe.algorithm.name)
    averaged = result.get("test/without_ema") is not None
    what = f"moving average, decay {recipe.model_ema.decay:g}" if averaged else "last epoch"
    rows = [(f"test accuracy of these weights (the {what})", result.get("test/last"))]
    if averaged:
        rows.append(("test accuracy of the last epoch without the average", result["test/without_ema"]))
    if result.get("test/chosen") is not None:
        rows.append(
            (f"test accuracy of epoch {result['epoch/chosen']}, chosen by validation", result["test/chosen"])
        )
    if result.get("test/teacher") is not None:
        rows.append(("test accuracy of the teacher", result["test/teacher"]))
    further = list(named_figures(result)) or [("parameters", f"{result['parameters']:,}")]
    others = ((f"network of the role {role}", markdown_text(model)) for role, model in lineage.others.items())
    cells = [*((name, f"{value:.2f} %") for name, value in rows if value is not None), *further, *others]
    table = "\n".join(f"| {name} | {value} |" for name, value in cells)
    return (
        f"# {markdown_text(lineage.student)}, {markdown_text(made)}\n\n"
        f"Made by kdzoo {__version__}, method {method}, seed {recipe.seed}.\n\n"
        f"| what | value |\n|---|---|\n{table}\n\n"
        f"## The recipe\n\n{code_block(to_yaml(dump(recipe)), 'yaml')}\n"
    )
