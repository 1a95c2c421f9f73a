"""Exported files, opened: each says itself what it takes and returns."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.data.listing import Pixels
from kdzoo.errors import Damaged, KdzooError
from kdzoo.use.description import KEY, Description, Preprocessing
from kdzoo.use.eight_bit import make_operators_known
from kdzoo.use.extra import needed
from kdzoo.use.model import Answer, Model, in_batches, normalised

ONNX, TORCHSCRIPT, PT2 = ".onnx", ".pt", ".pt2"
"""The suffixes of exported files."""


def open_file(path: Path, suffix: str | None = None) -> Model:
    """An exported file, alone or with its JSON beside it.

    Args:
        path: the file.
        suffix: of which kind it is; default: the file's own.

    Raises:
        KdzooError: of another kind, damaged, without a description, or a package is missing.
    """
    suffix = suffix or path.suffix.lower()
    if suffix not in _OPENERS:
        weights = " (of weights alone, name the model and pass --weights)"
        raise KdzooError(
            f"{path}: expected {', '.join(_OPENERS)}, the folder of a run or of a student, or a timm model"
            f"{weights if suffix in ('.safetensors', '.pth', '.bin', '.ckpt') else ''}"
        )
    answer, text = _OPENERS[suffix](path)
    description = Description.parse(text, path) if text else _beside(path, suffix)
    return Model(str(path), description, _whole(answer, description), path.stat().st_size)


def _whole(run: Callable[[Any], Tensor], description: Description) -> Answer:
    """From any number of prepared pictures to the network's answers."""

    def answer(pixels: Pixels) -> Tensor:
        parts = [
            run(normalised(part, description.preprocessing))[:own]
            for part, own in in_batches(pixels, description.batch)
        ]
        answers = torch.cat(parts).float()
        if answers.ndim != 2 or len(answers) != len(pixels):
            raise KdzooError(
                f"{description.architecture}: answers {tuple(answers.shape)} to {len(pixels)} pictures"
            )
        return answers

    return answer


def _onnx(path: Path) -> tuple[Callable[[Any], Tensor], str]:
    runtime = needed("onnxruntime", f"{path.name}: an ONNX file")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors are of a module that is private
        raise Damaged(f"{path}: onnxruntime cannot read it ({_first_line(error)})") from None
    name = session.get_inputs()[0].name
    told = session.get_modelmeta().custom_metadata_map.get(KEY, "")
    return lambda image: torch.from_numpy(session.run(None, {name: image})[0]), told


def _torchscript(path: Path) -> tuple[Callable[[Any], Tensor], str]:
    told = {KEY: ""}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", ".*is deprecated", FutureWarning
            )  # but what people still deploy
            load: Any = torch.jit.load  # untyped in torch
            module = load(str(path), map_location="cpu", _extra_files=told)
    except Exception as error:  # a damaged archive can raise any exception
        raise Damaged(
            f"{path}: not a TorchScript program ({_first_line(error)}); of weights alone, name the model and pass "
            "--weights"
        ) from None
    return _eager(module), _text(told[KEY])


def _pt2(path: Path) -> tuple[Callable[[Any], Tensor], str]:
    told = {KEY: ""}
    return _eager(load_program(path, told)), _text(told[KEY])


def load_program(path: Path, told: dict[str, Any] | None = None) -> nn.Module:
    """The module of a ``torch.export`` program; ``told`` takes its extra files.

    Raises:
        Damaged: it cannot be read.
    """
    make_operators_known()
    try:
        if not zipfile.is_zipfile(path):
            raise Damaged("not an archive")
        with path.open("rb") as file:
            return torch.export.load(file, extra_files=told).module()
    except Exception as error:  # as above
        raise Damaged(f"{path}: not a torch.export program that can be read ({_first_line(error)})") from None


def _eager(module: Callable[[Tensor], Tensor]) -> Callable[[Any], Tensor]:
    @torch.inference_mode()
    def run(image: Any) -> Tensor:
        return module(torch.from_numpy(image))

    return run


_OPENERS: Mapping[str, Callable[[Path], tuple[Callable[[Any], Tensor], str]]] = {
    ONNX: _onnx,
    TORCHSCRIPT: _torchscript,
    PT2: _pt2,
}


def _beside(path: Path, suffix: str) -> Description:
    """From the JSON of the same name, or from the ``config.json`` of the student whose program it is."""
    own, student = path.with_suffix(".json"), path.with_name("config.json")
    if own.is_file():
        return Description.parse(own.read_bytes(), own)
    if suffix == PT2 and student.is_file():
        return of_program(student)
    raise KdzooError(
        f"{path} does not say how pictures are prepared for it: kdzoo export writes that into the file; or put "
        f"{own.name} beside it"
    )


def of_program(config: Path) -> Description:
    """The description of a student's program, which takes images in [0, 1], by the student's ``config.json``.

    Raises:
        Damaged: it is not one.
    """
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        told = {**content.get("pretrained_cfg", {}), **content}
        channels = int(told["input_size"][0])
        found = {**told, "mean": [0.0] * channels, "std": [1.0] * channels}
        return Description(
            architecture=str(content.get("architecture", "a program")),
            label_names=told.get("label_names") or None,
            preprocessing=Preprocessing.model_validate(found),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise Damaged(f"{config}: not a student's description ({_first_line(error)})") from None


def _text(content: Any) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
