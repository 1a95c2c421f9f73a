"""What a user types, and what comes back."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from kdzoo.jobs.export import export_student
from kdzoo.use.opening import open_model
from kdzoo.use.pictures import find_pictures
from tests.use.conftest import network

SIX = ("--samples", "6")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file of the run, alone in a folder."""
    from kdzoo.use.export import export
    from kdzoo.use.samples import samples_for

    model, folder = open_model(str(run)), tmp_path_factory.mktemp("exported")
    export(model, "onnx", folder / "beside" / "student.onnx", samples_for(model, {}, 6), included=True)
    shutil.move(folder / "beside" / "student.onnx", folder / "student.onnx")
    shutil.rmtree(folder / "beside")
    return folder / "student.onnx"


def test_json_lines_of_a_run_and_of_its_file(kdzoo, run, exported, pictures, here):
    own = kdzoo("predict", run, *pictures, "--format", "jsonl", "--top-k", 5)
    file = kdzoo("predict", exported, *pictures, "--format", "jsonl", "--top-k", 5, "--batch", 3)
    assert (own.code, file.code, own.err, file.err) == (0, 0, "", "")
    rows = [json.loads(line) for line in own.out.splitlines()]
    assert [row["picture"] for row in rows] == [str(one) for one in pictures]
    for row, other in zip(rows, map(json.loads, file.out.splitlines()), strict=True):
        found = row["predictions"]
        assert {one["class"] for one in found} == {"cat", "dog", "eel"}, "three classes, five were asked for"
        assert sum(one["probability"] for one in found) == pytest.approx(1, abs=1e-5)
        assert found == sorted(found, key=lambda one: -one["probability"])
        assert [one["class"] for one in other["predictions"]] == [one["class"] for one in found]


def test_csv_of_every_picture_below_a_folder(kdzoo, run, photos, here):
    answer = kdzoo("predict", run / "student", photos / "test", "--format", "csv", "-k", 2)
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert list(rows[0]) == ["picture", "class1", "probability1", "class2", "probability2", "error"]
    assert len(rows) == 18
    assert all(float(row["probability1"]) >= float(row["probability2"]) for row in rows)


def test_the_others_are_predicted_where_one_cannot_be_read(kdzoo, run, photos, here):
    (here / "bad.jpg").write_bytes(b"\xff\xd8 no more")
    (here / "empty").mkdir()
    good = photos / "test" / "dog" / "0.png"
    shutil.copy(good, here / "good.png")
    given = ("bad.jpg", "gone.jpg", "good.png", "empty", "no*.png", "g*d.png")
    answer = kdzoo("predict", run, *given, "--format", "jsonl")
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [row["picture"] for row in rows] == [*list(given[:5]), "good.png"]
    assert rows[0]["error"] == "UnidentifiedImageError: cannot identify image file"
    assert [row.get("error") for row in rows[1:]] == [
        "no such file", None, "no pictures below this folder", "no file matches", None,
    ]  # fmt: skip
    assert rows[2]["predictions"] == rows[5]["predictions"]
    assert (answer.code, answer.err) == (2, "kdzoo: 4 of 6 pictures cannot be read\n")


def test_names_on_standard_input(kdzoo, run, photos, here, monkeypatch):
    names = [str(photos / "test" / "eel" / f"{number}.png") for number in range(3)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([names[0], "", *names[1:]]) + "\n"))
    answer = kdzoo("predict", run, "-", "--format", "csv")
    assert [row.split(",")[0] for row in answer.out.splitlines()[1:]] == names


def test_pictures_are_found_as_they_are_asked_for(photos):
    lines = iter(["one.png\n", "two.png\n"])
    found = find_pictures(["-"], lines)  # type: ignore[arg-type]  # an iterator of lines is what a stream is
    assert next(found).name == "one.png"
    assert next(lines) == "two.png\n", "not read yet"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("k", [1, 3])
def test_a_terminal_of_eighty_columns_is_not_overrun(kdzoo, run, photos, here, monkeypatch, k):
    name = here / ("a-very-long-name-" * 6 + "\N{LATIN SMALL LETTER E WITH ACUTE}\x1b[31m.png")
    shutil.copy(photos / "test" / "cat" / "0.png", name)
    (here / "bad.png").write_bytes(b"no picture " * 20)
    screen = Screen()
    monkeypatch.setenv("COLUMNS", "80")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", screen)
        answer = kdzoo("predict", run, name, "bad.png", photos / "test" / "eel", "-k", k)
    lines = screen.getvalue().splitlines()
    assert answer.code == 2
    assert len(lines) == 9 * k + 1
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("…")
    assert not any("\x1b" in line for line in lines)


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_ends_it_quietly(run, photos, here):
    command = f"{sys.executable} -m kdzoo predict {run} {photos} {photos} --format csv --batch 1 | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("picture,class1,probability1,error\n", "")


def test_synsets_are_named(kdzoo, tmp_path, photos, here):
    """As the folders of ImageNet and its subsets are called."""
    folder = here / "student"
    export_student(network(), folder, classes=("n01440764", "n02979186", "n00000000"), card="")
    picture = photos / "test" / "dog" / "0.png"
    [row] = map(json.loads, kdzoo("predict", folder, picture, "--format", "jsonl", "-k", 3).out.splitlines())
    assert {one["class"]: one.get("name") for one in row["predictions"]} == {
        "n01440764": "tench", "n02979186": "cassette player", "n00000000": None,
    }  # fmt: skip
    assert "cassette player" in kdzoo("predict", folder, picture, "-k", 3).out


def test_features(kdzoo, student, pictures, here):
    headless = student("headless")
    answer = kdzoo("predict", headless, *pictures, "--format", "jsonl")
    rows = [json.loads(line)["features"] for line in answer.out.splitlines()]
    assert kdzoo("predict", headless, *pictures, "--features", "f.npy").code == 0
    array = np.load(here / "f.npy")
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, np.array(rows), rtol=1e-6)
    assert json.loads((here / "f.json").read_text()) == [str(one) for one in pictures]
    assert len(array[0]) == open_model(str(headless)).answer(np.zeros((1, 32, 32, 3), np.uint8)).shape[1]


def test_export_says_what_was_compared(kdzoo, run, here):
    answer = kdzoo("export", run, "--to", "pt2", "--output", "x/student.pt2", *SIX)
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].startswith("x/student.pt2  ")
    assert lines[1] == "  image (B, 3, 48, 48) normalised, float32 -> logits of 3 classes"
    assert lines[2].startswith("  largest difference to torch ")
    assert lines[2].endswith("same class on 100 %")
    assert lines[3] == f"  on 6 pictures of the val split of {run.parent / 'photos'}"
    assert lines[-1] == "next: kdzoo predict x/student.pt2 PICTURES..."
    assert sorted(one.name for one in (here / "x").iterdir()) == ["student.json", "student.pt2"]


def test_made_pictures_are_named_as_such(kdzoo, run, here):
    """The run's photographs were moved."""
    moved = here / "run"
    shutil.copytree(run, moved)
    recipe = moved / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(run.parent / "photos"), str(here / "gone")))
    answer = kdzoo("export", moved, "--to", "pt2", *SIX)
    assert answer.code == 0
    assert "on 6 made pictures (the run's data are not there" in answer.out
    assert (moved / "student.pt2").exists()


def test_int8_is_shown_beside_float(kdzoo, run, here):
    answer = kdzoo(
        "export", run, "--to", "int8", "--output", "x.onnx", *SIX, "--json", "--least-agreement", 0
    )
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert told["rounded"] == "calibrated (QDQ)"
    assert set(told["latency"]) == {"float", "int8", "conditions"}
    for one in ("float", "int8"):
        assert 0 < told["latency"][one]["low_ms"] <= told["latency"][one]["median_ms"]
    assert f"{torch.get_num_threads()} thread" in told["latency"]["conditions"]


BAD = {
    "no model": (("predict", "gone/model.onnx", "x.png"), "gone/model.onnx: no such file or folder"),
    "an unknown name": (
        ("predict", "resnet_18", "x.png"),
        "unknown timm model 'resnet_18'; did you mean resnet18",
    ),
    "no pictures": (("predict", "RUN"), "missing argument PICTURES"),
    "an empty list": (("predict", "RUN", "-"), "no pictures were named"),
    "a folder of something else": (
        ("predict", ".", "x.png"),
        "neither a finished run nor an exported student",
    ),
    "an unfinished run": (
        ("export", "unfinished", "--to", "onnx"),
        "the run is not finished, so it has no student",
    ),
    "a damaged student": (("export", "damaged", "--to", "onnx"), "model.safetensors: damaged; run it again"),
    "weights alone": (
        ("predict", "RUN/student/model.safetensors", "x.png"),
        "name the model and pass --weights",
    ),
    "weights for a folder": (("predict", "RUN", "x.png", "--weights", "y.pth"), "has its own weights"),
    "an ONNX file of no use": (("predict", "empty.onnx", "x.png"), "onnxruntime cannot read it"),
    "a foreign ONNX file": (
        ("predict", "foreign.onnx", "x.png"),
        "does not say how pictures are prepared for it",
    ),
    "a damaged description": (
        ("predict", "told.pt2", "x.png"),
        "not a torch.export program that can be read",
    ),
    "a pickle": (("predict", "weights.pt", "x.png"), "not a TorchScript program"),
    "a form that is not there": (("export", "RUN", "--to", "coreml"), "--to: 'coreml' is not one of 'onnx'"),
    "no form": (("export", "RUN"), "missing --to"),
    "another suffix": (
        ("export", "RUN", "--to", "onnx", "-o", "x.pt"),
        "a file of the form onnx ends with .onnx",
    ),
    "an exported file": (("export", "EXPORTED", "--to", "pt2"), "is exported already"),
    "openvino": (("export", "RUN", "--to", "openvino"), "ovc"),
    "tensorrt": (("export", "RUN", "--to", "tensorrt"), "--minShapes=image:1x3x48x48"),
    "a folder that cannot be": (
        ("export", "RUN", "--to", "pt2", "-o", "empty.onnx/x.pt2"),
        "cannot be written",
    ),
    "no such data": (("export", "RUN", "--to", "onnx", "--data-dir", "gone"), "data_dir gone does not exist"),
    "features of a classifier": (("predict", "RUN", "x.png", "--features", "f.npy"), "has a classifier"),
    "classes of features": (("predict", "HEADLESS", "x.png"), "it returns features; pass --format jsonl"),
    "features as text": (
        ("predict", "HEADLESS", "x.png", "--features", "f.txt"),
        "expected a file FOLDER/NAME.npy",
    ),
    "features evaluated": (("evaluate", "HEADLESS", "--data-dir", "PHOTOS"), "has no classifier"),
    "no data": (("evaluate", "EXPORTED"), "which pictures? pass --data-dir DIR"),
    "no such split": (
        ("evaluate", "RUN", "--dataset", "digits", "--split", "holdout"),
        "--split: 'holdout' is not",
    ),
    "other classes": (("evaluate", "RUN", "--dataset", "digits"), "does not know 0, 1, 2, 3, 4 and 5 more"),
    "one network": (("compare", "RUN"), "compare takes two networks or more"),
    "another modality": (
        ("predict", "edges", "x.png"),
        "its student reads the modality 'edges', not pictures",
    ),
    "no such device": (
        ("predict", "RUN", "x.png", "--device", "tpu"),
        "--device tpu: not here; there is",
    ),
    "the size of a file": (
        ("export", "PROGRAM", "--to", "pt2", "--img-size", "64"),
        "was fixed when it was exported",
    ),
}


@pytest.fixture
def places(here, run, student, photos, exported):
    """What the names of a bad command stand for."""
    import onnx

    (here / "unfinished").mkdir()
    (here / "unfinished" / "metrics.jsonl").write_text("")
    for name in ("damaged", "edges"):
        shutil.copytree(run, here / name)
    weights = here / "damaged" / "student" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    recipe = here / "edges" / "recipe.yaml"
    assert "modality: image" in recipe.read_text()
    recipe.write_text(recipe.read_text().replace("modality: image", "modality: edges"))
    for name in ("empty.onnx", "told.pt2"):
        (here / name).write_bytes(b"")
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, here / "foreign.onnx")
    torch.save({"weight": torch.ones(2)}, here / "weights.pt")
    return {
        "RUN": run, "EXPORTED": exported, "PHOTOS": photos,
        "HEADLESS": student("headless"), "PROGRAM": student("program"),
    }  # fmt: skip


def test_bad_input_is_one_line(kdzoo, places, here, monkeypatch):
    """In one test, for what is bad is made once; every refusal is named."""
    wrong = []
    for what, (command, says) in BAD.items():
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        given = list(command)
        for name, place in places.items():
            given = [one.replace(name, str(place)) if one.startswith(name) else one for one in given]
        before = sorted(here.iterdir())
        answer = kdzoo(*given)
        if (
            answer.code != 2
            or answer.err.count("\n") != 1
            or says not in answer.err
            or sorted(here.iterdir()) != before
        ):
            wrong.append((what, answer.code, answer.err))
    assert not wrong


@pytest.mark.parametrize("lacking", ["onnx", "onnxscript"])
def test_without_the_extra_one_line_says_what_to_install(kdzoo, run, here, monkeypatch, lacking):
    monkeypatch.setitem(sys.modules, lacking, None)
    answer = kdzoo("export", run, "--to", "onnx", "--output", "x.onnx", *SIX)
    assert answer.code == 2
    assert answer.err == f"kdzoo: the ONNX exporter needs {lacking}: pip install 'kdzoo[export]'\n"
    assert not list(here.iterdir())


def test_an_onnx_file_needs_onnxruntime(kdzoo, exported, photos, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    answer = kdzoo("predict", exported, photos)
    assert answer.code == 2
    assert answer.err == "kdzoo: student.onnx: an ONNX file needs onnxruntime: pip install 'kdzoo[export]'\n"
