"""``kdzoo compare``: networks side by side on the same pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kdzoo.cli.evaluate import DATA
from kdzoo.cli.options import recipe_flags
from kdzoo.cli.output import console, edge, print_json, print_line, print_paragraph
from kdzoo.recipe.layers import Layer


@recipe_flags(DATA)
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Runs, exported students or files, timm models; the others are compared with the first.",
            metavar="A B ...",
        ),
    ],
    *,
    layers: list[Layer],
    split: Annotated[Literal["test", "val", "train"], typer.Option(help="Which pictures.")] = "test",
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("comparison.html"),
    batch: Annotated[int, typer.Option("--batch", "-b", min=1, help="Pictures at once.")] = 32,
    latency_batch: Annotated[
        int, typer.Option(min=1, help="Pictures at once where latency is measured.")
    ] = 1,
    latency_runs: Annotated[
        int, typer.Option(min=2, help="Answers of each network whose median is its latency.")
    ] = 30,
    accelerator: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda, mps; files run on the CPU.")
    ] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON; the page is written too.")] = False,
) -> None:
    """Compare networks: accuracy with its interval, agreement, size, multiply-adds, latency, and each class.

    kdzoo compare runs/A runs/B/student.int8.onnx --data-dir DIR

    Without --data-dir the pictures are those of the first network's run.
    """
    from kdzoo.errors import KdzooError
    from kdzoo.files import write_text
    from kdzoo.use.comparison import as_data, lines, page
    from kdzoo.use.data import data_of, split_of
    from kdzoo.use.device import device_of
    from kdzoo.use.given import keys_of
    from kdzoo.use.latency import measured
    from kdzoo.use.measure import measure
    from kdzoo.use.opening import open_model

    if len(models) < 2:
        raise KdzooError("compare takes two networks or more; kdzoo evaluate measures one")
    device = device_of(accelerator)
    opened = [open_model(one, device=device) for one in models]
    run = next((one.run for one in opened if one.run is not None), None)
    data = split_of(data_of(keys_of(layers), run), split)
    result = measure(opened, data, batch=batch)
    latencies, conditions = measured(opened, batch=latency_batch, device=device, runs=latency_runs)
    write_text(output, page(result, data, latencies, conditions))
    if json:
        print_json(as_data(result, data, latencies, conditions))
        return
    out = console()
    width = edge(out) or 80
    for line in lines(result, data, latencies, conditions, width):
        (print_line if len(line) <= width else print_paragraph)(out, line)
    print_line(out, f"page: {output}")
