"""What a network costs in use: size and latency of its exported file on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from kdzoo.backbone import Backbone
from kdzoo.jobs.export import export_student
from kdzoo.use.export import SUFFIXES, export
from kdzoo.use.latency import measured
from kdzoo.use.model import Model
from kdzoo.use.opening import open_model
from kdzoo.use.samples import Samples, made_pictures

FORMS = Literal["onnx", "torchscript"]

_ONNX = "onnx", "onnxruntime", "onnxscript"


@dataclass(frozen=True)
class Footprint:
    """Of an exported file.

    Attributes:
        megabytes: its size.
        milliseconds: median latency for one picture.
        conditions: of that measurement.
    """

    megabytes: float
    milliseconds: float
    conditions: str

    def __str__(self) -> str:
        return f"{self.megabytes:.2f} MB, {self.milliseconds:.2f} ms"


def usual_form() -> FORMS:
    """ONNX where its packages are installed, else TorchScript."""
    return "onnx" if all(map(find_spec, _ONNX)) else "torchscript"


def footprint(network: Backbone, form: FORMS) -> Footprint:
    """Export an untrained network and measure the file.

    Raises:
        KdzooError: it cannot be exported.
    """
    with TemporaryDirectory(prefix="kdzoo-") as place:
        folder = Path(place) / "student"
        names = [str(number) for number in range(network.num_classes)]
        export_student(network, folder, classes=names, card="# Untrained")
        opened = open_model(str(folder))
        pictures = Samples(made_pictures(opened.description.preprocessing, 2), "2 made pictures")
        return of_file(export(opened, form, folder.with_suffix(SUFFIXES[form]), pictures).model)


def of_file(model: Model) -> Footprint:
    """Measure an exported file."""
    (latency,), conditions = measured([model])
    return Footprint(model.bytes / 1e6, latency.median, str(conditions))
