"""An exported file, alone in a folder, answers every kind of picture as torch does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import yaml
from PIL import Image
from torch import nn

from kdzoo.errors import KdzooError
from kdzoo.use.description import KEY, Description
from kdzoo.use.export import SUFFIXES, export
from kdzoo.use.hub import write_hub_folder
from kdzoo.use.model import Model, answers_of
from kdzoo.use.opening import open_model
from kdzoo.use.pictures import Picture
from kdzoo.use.predict import predict
from kdzoo.use.samples import made_pictures, samples_for


def answers(model: Model, pictures: list[Path]) -> torch.Tensor:
    found = list(predict(model, [Picture(str(one)) for one in pictures], batch=3))
    assert not any(one.problem for one in found)
    return torch.stack([one.output for one in found if one.output is not None])


def written(folder: Path, form: str, to: Path, **options: object) -> Model:
    """The file, opened where nothing else is."""
    model = open_model(str(folder))
    done = export(model, form, to / "made" / f"x{SUFFIXES[form]}", samples_for(model, {}, 8), **options)
    (to / "alone").mkdir()
    shutil.copy(done.path, to / "alone")
    assert Description.parse(done.path.with_suffix(".json").read_bytes(), "") == done.model.description
    return open_model(str(to / "alone" / done.path.name))


@pytest.mark.parametrize(
    ("kind", "form", "options"),
    [
        ("plain", "onnx", {}),
        ("plain", "onnx", {"batch": 2, "included": True}),
        ("plain", "torchscript", {"included": True}),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ("plain", "onnx", {"included": True}),
                ("plain", "pt2", {}),
                ("transformer", "onnx", {"included": True}),
                ("grey", "onnx", {"included": True}),
                ("headless", "onnx", {}),
                ("program", "onnx", {"included": True}),
                ("program", "pt2", {}),
            )
        ),
    ],
)
def test_a_file_alone_answers_as_torch_does(kind, form, options, student, pictures, tmp_path):
    own = open_model(str(student(kind)))
    file = written(student(kind), form, tmp_path, **options)
    expected, found = answers(own, pictures), answers(file, pictures)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert expected.std(0).max() > 0
    assert file.description.label_names == (None if kind == "headless" else ("cat", "dog", "eel"))
    assert file.description.preprocessing.included == bool(options.get("included"))
    assert file.description.batch == options.get("batch")


@pytest.mark.parametrize(("kind", "how"), [("plain", "calibrated (QDQ)"), ("transformer", "dynamic")])
def test_eight_bits_find_the_same_classes_in_a_smaller_file(kind, how, student, pictures, tmp_path):
    own = open_model(str(student(kind)))
    done = export(own, "int8", tmp_path / "x.int8.onnx", samples_for(own, {}, 16), least_agreement=0.0)
    assert done.how == how
    assert done.plain is not None
    assert done.model.bytes < 0.95 * done.plain.bytes
    weights = {one.data_type for one in onnx.load(done.path).graph.initializer}
    assert onnx.TensorProto.INT8 in weights
    expected, found = answers(own, pictures), answers(done.model, pictures)
    assert (found - expected).abs().max() < 0.5 * (expected.amax() - expected.amin())


def test_the_run_is_exported_as_its_student_and_checked_on_its_pictures(run, tmp_path):
    model = open_model(str(run))
    samples = samples_for(model, {}, 64)
    assert samples.what == f"9 pictures of the val split of {run.parent / 'photos'}"
    done = export(model, "onnx", tmp_path / "x.onnx", samples)
    assert done.difference < 1e-4
    assert done.agreement == 100.0
    assert done.model.description.parameters == sum(
        one.numel() for one in timm.create_model(f"local-dir:{run / 'student'}", num_classes=3).parameters()
    )


def test_onnxruntime_alone_suffices(student, pictures, tmp_path, monkeypatch):
    """With the metadata of the file, and timm's transform as a second opinion on the preparation."""
    written(student("plain"), "onnx", tmp_path, included=True)
    session = onnxruntime.InferenceSession(tmp_path / "alone" / "x.onnx")
    about = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    how = about["preprocessing"]
    transform = timm.data.create_transform(
        tuple(how["input_size"]),
        interpolation=how["interpolation"],
        crop_pct=how["crop_pct"],
        normalize=False,
    )
    wide = next(one for one in pictures if one.name == "wide.png")
    pixels = transform(Image.open(wide)).permute(1, 2, 0).numpy()[None]
    assert pixels.dtype == np.uint8
    [found] = session.run(None, {"image": pixels})
    loaded = timm.create_model(f"local-dir:{student('plain')}", pretrained=True).eval()
    own = timm.data.create_transform(**timm.data.resolve_model_data_config(loaded))
    with torch.inference_mode():
        expected = loaded(own(Image.open(wide))[None])
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


class Sly(nn.Module):
    """Answers otherwise while it is exported."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 3))

    def forward(self, image):
        logits = image.mean((2, 3)) @ self.weight
        return logits + 1 if torch.compiler.is_exporting() else logits


def test_a_file_that_answers_otherwise_is_refused_and_leaves_nothing(student, tmp_path):
    plain, module = open_model(str(student("plain"))), Sly()
    how = plain.description.preprocessing
    sly = Model("sly", plain.description, answers_of(module, how, torch.device("cpu")), 0, module)
    with pytest.raises(
        KdzooError, match=r"differ from torch's by up to 1 on 8 made pictures.*nothing was written"
    ):
        export(sly, "pt2", tmp_path / "new" / "folder" / "x.pt2", samples_for(sly, {}, 8))
    assert not list(tmp_path.iterdir())


def test_made_pictures_are_pictures(student):
    how = open_model(str(student("plain"))).description.preprocessing
    pixels = made_pictures(how, 4)
    assert pixels.shape == (4, 32, 32, 3)
    assert (pixels == made_pictures(how, 4)).all()
    assert 30 < pixels.std() < 90


def test_the_folder_for_the_hub_is_a_model_of_timm(run, pictures, tmp_path):
    folder = write_hub_folder(open_model(str(run)), tmp_path / "hf")
    assert sorted(one.name for one in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    own, hub = open_model(str(run)), open_model(f"local-dir:{folder}")
    assert torch.equal(answers(hub, pictures), answers(own, pictures))
    card = (folder / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["library_name"] == "timm"
    assert header["pipeline_tag"] == "image-classification"
    [model] = header["model-index"]
    metrics = {one["type"]: one["value"] for one in model["results"][0]["metrics"]}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    result = rows[-1]["result"]
    assert metrics["accuracy"] == pytest.approx(result["test/last"] / 100, abs=1e-6)
    assert metrics["f1"] == pytest.approx(result["test/macro_f1"] / 100, abs=1e-6)
    assert "hf-hub:USER/NAME" in card
    assert "local-dir" not in card
    with pytest.raises(KdzooError, match="is there already"):
        write_hub_folder(open_model(str(run)), folder)
