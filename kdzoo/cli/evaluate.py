"""``kdzoo evaluate``: all figures of a network on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kdzoo.cli.flags import FLAGS
from kdzoo.cli.options import recipe_flags
from kdzoo.cli.output import console, edge, print_json, print_line
from kdzoo.recipe.layers import Layer

DATA = tuple(
    FLAGS[name]
    for name in ("data_dir", "dataset", "labels_file", "class_depth", "allow_missing", "test_per_class")
)
"""The flags that name labelled pictures."""


@recipe_flags(DATA)
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="The folder of a run, an exported student or file (.onnx, .pt2, .pt), or the name of a timm model.",
            metavar="MODEL",
        ),
    ],
    *,
    layers: list[Layer],
    split: Annotated[Literal["test", "val", "train"], typer.Option(help="Which pictures.")] = "test",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The page (default evaluation.html, in the run's folder if there is one).",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Of a timm model: pretrained (default), a file, or a folder.", show_default=False),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", "-b", min=1, help="Pictures at once.")] = 32,
    accelerator: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps.")] = "auto",
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, and write no page unless --output is given.")
    ] = False,
) -> None:
    """Measure a network on labelled pictures: all figures of training, and its worst mistakes, as a page.

    kdzoo evaluate runs/NAME --data-dir DIR

    Classes are matched by name. Without --data-dir the pictures are those of the run.
    """
    from kdzoo.data.counted import counted
    from kdzoo.files import write_text
    from kdzoo.use.data import data_of, split_of
    from kdzoo.use.device import device_of
    from kdzoo.use.evaluation import as_data, lines, page
    from kdzoo.use.given import keys_of
    from kdzoo.use.measure import measure
    from kdzoo.use.opening import open_model

    opened = open_model(model, weights=weights, device=device_of(accelerator))
    data = split_of(data_of(keys_of(layers), opened.run), split)
    result = measure([opened], data, batch=batch)
    path = output or (opened.run or Path()) / "evaluation.html"
    if output is not None or not json:
        write_text(path, page(result, data))
    if json:
        print_json(as_data(result, data))
        return
    out = console()
    for line in lines(result, data, edge(out) or 80):
        print_line(out, line)
    if result.unreadable:
        print_line(out, f"{counted(len(result.unreadable), 'picture')} cannot be read; the page names them")
    print_line(out, f"page: {path}")
