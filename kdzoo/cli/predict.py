"""``kdzoo predict``: what a network says of pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kdzoo.cli.output import console, edge


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, show_default=False, **more)


def predict(
    model: Annotated[
        str,
        typer.Argument(
            help="The folder of a run, an exported student or file (.onnx, .pt2, .pt), or the name of a timm model.",
            metavar="MODEL",
        ),
    ],
    pictures: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, patterns such as 'shots/**/*.jpg', or - for names on standard input."
        ),
    ],
    *,
    form: Annotated[
        Literal["table", "jsonl", "csv"],
        typer.Option("--format", "-f", help="A table, JSON lines, or CSV; to standard output, line by line."),
    ] = "table",
    k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Classes shown for each picture.")] = 1,
    features: Annotated[
        Path | None,
        _option("--features", help="Of a network without a classifier: the .npy file for its features."),
    ] = None,
    weights: Annotated[
        str | None, _option("--weights", help="Of a timm model: pretrained (default), a file, or a folder.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", "-b", min=1, help="Pictures at once.")] = 32,
    accelerator: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, mps; exported files run on the CPU.")
    ] = "auto",
) -> None:
    """Name the classes of pictures, which are decoded as in training.

    kdzoo predict runs/NAME photo.jpg shots/ --top-k 3

    A picture that cannot be read has a line with the reason, the others are predicted, and the exit code is 2 at the
    end. A network without a classifier gives features, with --format jsonl or --features FILE.npy.
    """
    from kdzoo.errors import KdzooError
    from kdzoo.use.device import device_of
    from kdzoo.use.features import FeatureFile
    from kdzoo.use.opening import open_model
    from kdzoo.use.pictures import find_pictures
    from kdzoo.use.predict import predict as look
    from kdzoo.use.table import lines_of

    opened = open_model(model, weights=weights, device=device_of(accelerator))
    headless = opened.description.output == "features"
    if headless and features is None and form != "jsonl":
        raise KdzooError(
            f"{model} has no classifier: it returns features; pass --format jsonl, or --features FILE.npy"
        )
    if features is not None and not headless:
        raise KdzooError(f"--features: {model} has a classifier; --format shows its classes")
    kept = FeatureFile(features) if features is not None else None
    lines = lines_of(form, opened, k, edge(console())) if kept is None else None
    seen = unreadable = 0
    try:
        for one in look(opened, find_pictures(pictures), batch=batch):
            seen += 1
            unreadable += one.output is None
            if lines is not None:
                lines.write(one)
                sys.stdout.flush()
            if kept is not None:
                kept.add(one)
        if kept is not None and seen > unreadable:
            typer.echo(kept.write())
    except BrokenPipeError:  # whoever reads has seen enough
        sys.stdout = None  # so that Python does not flush it at exit
        raise typer.Exit from None
    if unreadable or not seen:
        what = f"{unreadable} of {seen} pictures cannot be read" if seen else "no pictures were named"
        raise KdzooError(what)
