"""``kdzoo export``: a student as a file that runs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kdzoo.cli.flags import FLAGS
from kdzoo.cli.options import recipe_flags
from kdzoo.cli.output import console, print_json, print_line
from kdzoo.recipe.layers import Layer

if TYPE_CHECKING:
    from kdzoo.use.export import Exported
    from kdzoo.use.model import Model


def _option(*names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, show_default=False, **more)


@recipe_flags([FLAGS[name] for name in ("data_dir", "dataset", "labels_file")])
def export(
    model: Annotated[
        str,
        typer.Argument(
            help="The folder of a run, an exported student, or the name of a timm model.", metavar="RUN"
        ),
    ],
    *,
    to: Annotated[
        Literal["onnx", "torchscript", "pt2", "int8", "hf", "openvino", "tensorrt"],
        _option(
            "--to",
            help="onnx, torchscript, pt2 (torch.export), int8 (ONNX in eight bits), hf (a folder for Hugging Face); "
            "openvino and tensorrt name the commands.",
        ),
    ],
    output: Annotated[
        Path | None, _option("--output", "-o", help="The file or folder (default: beside the student).")
    ] = None,
    pixels: Annotated[
        bool,
        typer.Option(
            "--include-preprocessing",
            help="The file takes pixels (B, H, W, C) uint8 and normalises them itself; else normalised (B, C, H, W).",
        ),
    ] = False,
    batch: Annotated[
        int | None, _option("--batch", min=1, help="Pictures that it takes at once (default: any number).")
    ] = None,
    img_size: Annotated[
        int | None, _option("--img-size", min=1, help="Side of its input in pixels (default: the student's).")
    ] = None,
    weights: Annotated[
        str | None, _option("--weights", help="Of a timm model: pretrained, a file, or a folder.")
    ] = None,
    layers: list[Layer],
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Pictures for the check, and for the ranges of int8.")
    ] = 64,
    least_agreement: Annotated[
        float,
        typer.Option(
            min=0, max=100, help="int8: percent of these with the same class, below which it is refused."
        ),
    ] = 90.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Export a student, and compare the file with it on real pictures before it is kept.

    kdzoo export runs/NAME --to onnx

    The pictures are of the run's validation split, or of --data-dir. Preprocessing and class names are in the file,
    and beside it as JSON.
    """
    from kdzoo.errors import KdzooError
    from kdzoo.use.commands import command_for
    from kdzoo.use.export import SUFFIXES
    from kdzoo.use.export import export as write
    from kdzoo.use.given import keys_of
    from kdzoo.use.hub import write_hub_folder
    from kdzoo.use.opening import open_model
    from kdzoo.use.samples import samples_for

    out = console()
    opened = open_model(model, weights=weights, img_size=img_size)
    beside = _beside(opened)
    if to == "openvino" or to == "tensorrt":  # so spelled, mypy narrows it
        raise KdzooError(command_for(to, model, beside.with_suffix(".onnx"), opened.description))
    if to == "hf":
        folder = write_hub_folder(opened, output or beside.with_name("hf"))
        if json:
            print_json({"folder": str(folder)})
            return
        print_line(out, f"{folder}: the student and its card; nothing was uploaded")
        print_line(out, f"next: hf upload USER/NAME {folder}")
        return
    path = output or beside.with_name(beside.name + SUFFIXES[to])
    taken = samples_for(opened, keys_of(layers), samples)
    done = write(opened, to, path, taken, included=pixels, batch=batch, least_agreement=least_agreement)
    compared = _against_float(done, batch) if to == "int8" else None
    if json:
        print_json(
            {
                "file": str(done.path), "bytes": done.model.bytes, "difference": done.difference,
                "agreement": done.agreement, "pictures": taken.what, **({"rounded": done.how} if done.how else {}),
                **({"latency": compared[1]} if compared else {}),
                "description": done.model.description.model_dump(),
            }
        )  # fmt: skip
        return
    what = done.model.description
    channels, height, width = what.preprocessing.input_size
    shape = f"{height}, {width}, {channels}" if pixels else f"{channels}, {height}, {width}"
    kind = "pixels, uint8" if pixels else "normalised, float32"
    number = "" if what.label_names is None else f" of {len(what.label_names)} classes"
    print_line(out, f"{done.path}  {_size(done.model.bytes)}")
    print_line(out, f"  image ({batch or 'B'}, {shape}) {kind} -> {what.output}{number}")
    same = "same class on" if what.output == "logits" else "mean cosine similarity"
    print_line(out, f"  largest difference to torch {done.difference:.2g}, {same} {done.agreement:.4g} %")
    print_line(out, f"  on {taken.what}")
    for line in compared[0] if compared else ():
        print_line(out, f"  {line}")
    print_line(out, f"  preprocessing and classes: in the file, and in {done.path.with_suffix('.json').name}")
    print_line(out, f"next: kdzoo predict {done.path} PICTURES...")


def _beside(opened: Model) -> Path:
    """Where exported files go, without a suffix: beside the student, or here."""
    if opened.folder is None:
        from kdzoo.files import folder_name

        return Path(folder_name(opened.name))
    return opened.folder.parent / opened.folder.name


def _against_float(done: Exported, batch: int | None) -> tuple[list[str], dict[str, Any]]:
    """Size and latency beside those of the same network in float: eight bits are not always faster."""
    from kdzoo.use.latency import facts, measured

    assert done.plain is not None
    (plain, rounded), conditions = measured([done.plain, done.model], batch=batch or 1)
    factor = plain.median / rounded.median
    faster = f"{factor:.1f} times as fast" if factor >= 1 else f"slower, {1 / factor:.1f} times the time"
    lines = [
        f"rounded: {done.how}; the same in float has {_size(done.plain.bytes)}",
        f"latency: {rounded}; in float {plain}: {faster}",
        f"({conditions})",
    ]
    return lines, {"float": facts(plain), "int8": facts(rounded), "conditions": str(conditions)}


def _size(number: int) -> str:
    return f"{number / 1e6:.2f} MB"
