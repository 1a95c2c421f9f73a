"""The card of a reinforced set."""

from __future__ import annotations

from kdzoo.markdown import code_block, markdown_text
from kdzoo.recipe.reinforced import PICTURES, Facts, view_file
from kdzoo.yaml_text import to_yaml


def card(facts: Facts, *, linked: bool) -> str:
    """Markdown: whose answers they are, to which views of which pictures, how the set is used.

    Args:
        facts: of the set.
        linked: whether its pictures are a link.
    """
    number, some = len(facts.classes), facts.top_k < len(facts.classes)
    kept = f"the {facts.top_k} largest of {number} logits" if some else f"all {number} logits"
    rows = {
        "teacher": f"{facts.teacher.model}, weights sha256 {facts.teacher.weights[:16]}",
        "answers": f"{kept}, {facts.precision}, asked in batches of {facts.batch_size}",
        "views": f"{facts.views} of each of {facts.images:,} training images, {facts.img_size} px, seed {facts.seed}",
        "data hash": facts.content,
        "licence": facts.licence or "not stated; ask whoever made the set before you use or pass it on",
    }
    table = "\n".join(f"| {name} | {markdown_text(text)} |" for name, text in rows.items())
    where = (
        f"`{PICTURES}` is a link to the pictures on the machine that made the set. Elsewhere put the pictures, or a "
        "link to them, in its place; their hash is compared."
        if linked
        else f"`{PICTURES}` holds the pictures, if the data set is a folder."
    )
    columns = (
        f"`logits` (images, {facts.top_k + 1}) and `classes` (images, {facts.top_k}): the logits of these classes, "
        "and in the last column that of each other class, so that at temperature 1 the rest of the probability is "
        "spread evenly (Shen & Xing 2022, arXiv 2112.01528)."
        if some
        else f"`logits` (images, {number})."
    )
    augment = to_yaml(facts.augment.model_dump(mode="json"))
    return (
        f"# Reinforced with {markdown_text(facts.teacher.model)}\n\n"
        f"Made by kdzoo {facts.kdzoo}: dataset reinforcement (Faghri et al. 2023, arXiv 2303.08983). A student is "
        "trained on it with any method on logits, without the teacher:\n\n"
        f"{code_block('kdzoo distill --method METHOD --student MODEL --data-dir THIS_FOLDER', 'sh')}\n\n"
        f"| what | value |\n|---|---|\n{table}\n\n"
        f"## The pictures\n\n{where} `names.json` lists the training images in the order of the answers.\n\n"
        f"## The answers\n\n`{view_file(0)}` and so on, one file for each view, by safetensors: {columns}\n\n"
        f"## The views\n\n{code_block(augment, 'yaml')}\n"
    )
