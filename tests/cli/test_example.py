"""The example package with something for every hook, in this process; from its wheel in tests/scaffold."""

import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "kdzoo-stripes"
PIECE = re.compile(r"^`([^`\n]+)`:\n\n((?:```\w+\n.*?^```\n+)+)", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def stripes(tmp_path, monkeypatch):
    """The package on the import path, as if it were installed."""
    info = tmp_path / "site" / "kdzoo_stripes-0.1.0.dist-info"
    info.mkdir(parents=True)
    readme = (EXAMPLE / "README.md").read_text()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kdzoo-stripes\nVersion: 0.1.0\n\n{readme}")
    (info / "entry_points.txt").write_text("[kdzoo]\nstripes = kdzoo_stripes\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "kdzoo_stripes"]:
        del sys.modules[name]


def pieces():
    """(file, content) of the pieces of the example that the page on hooks shows."""
    for match in PIECE.finditer((ROOT / "docs" / "hooks.md").read_text()):
        for block in FENCE.findall(match.group(2)):
            yield pytest.param(match.group(1), block, id=f"{match.group(1)}:{block.splitlines()[0].strip()}")


def test_each_new_hook_has_a_piece_of_the_example():
    assert {piece.values[0].partition("/")[2] for piece in pieces()} == {
        "__init__.py", "data.py", "losses.py", "networks.py", "registry.yaml", "sheet.py"
    }  # fmt: skip
    shown = "".join(piece.values[1] for piece in pieces())
    for hook in ("kdzoo_datasets", "kdzoo_backbones", "kdzoo_commands"):
        assert f"def {hook}()" in shown


@pytest.mark.parametrize(("path", "block"), list(pieces()))
def test_the_page_shows_what_is_in_the_example(path, block):
    assert block in (EXAMPLE / path).read_text()


def test_it_is_listed_and_its_command_runs(stripes, kdzoo, tmp_path):
    (row,) = [row for row in json.loads(kdzoo("plugins", "--json").out) if row["plugin"] == "stripes"]
    assert row["state"] == "ok"
    assert row["warning"] is None
    assert row["components"] == [
        "knowledge logit-distance",
        "knowledge map-distance",
        "dataset stripes",
        "command stripes",
        "backbones kdzoo_stripes.networks",
    ]
    listed = json.loads(kdzoo("list", "--family", "regression", "--json").out)["methods"]
    assert [row["method"] for row in listed] == ["logit-and-map-distance", "logit-distance"]
    sheet = tmp_path / "sheet.png"
    assert kdzoo("stripes", sheet, "--angles", 3, "--each", 2).out == f"{sheet}\n"
    with Image.open(sheet) as image:
        assert image.size == (2 * 32, 3 * 32)


def test_its_network_learns_its_data_by_its_sum(stripes, kdzoo, tmp_path):
    run = tmp_path / "run"
    short = ["--epochs", 1, "--teacher-epochs", 1, "--set", "observers=[]", "--output", run]
    options = ["--set", "data.options={angles: 3, train: 8, test: 4}"]
    done = kdzoo(
        "distill", "--method", "logit-and-map-distance", "--teacher", "test_resnet", "--student", "stripes_net",
        "--dataset", "stripes", *options, *short,
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    made = json.loads((run / "provenance.json").read_text())
    assert made["plugins"] == {"kdzoo": "0.1.0", "kdzoo-stripes": "0.1.0"}
    fields = json.loads((run / "identity.json").read_text())["fields"]
    assert fields["plugins.backbone.stripes_net"] == "kdzoo-stripes 0.1.0"
    assert fields["knowledge"] == ["logit-distance", "map-distance"]
    described = json.loads((run / "student" / "config.json").read_text())
    assert described["architecture"] == "stripes_net"
    assert described["label_names"] == ["0 degrees", "60 degrees", "120 degrees"]
    again = kdzoo(
        "distill", "--method", "baseline", "--student", f"local-dir:{run / 'student'}", "--dataset", "stripes",
        *options, "--epochs", 1, "--set", "observers=[]", "--output", tmp_path / "again",
    )  # fmt: skip
    assert (again.code, again.err) == (0, "")


def test_without_it_its_names_are_unknown(kdzoo):
    for name, flags in (
        ("data set 'stripes'", ["--dataset", "stripes", "--student", "test_resnet"]),
        ("timm model 'stripes_nest'", ["--student", "stripes_nest"]),
    ):
        refused = kdzoo("distill", "--method", "baseline", *flags)
        assert refused.code == 2
        assert f"unknown {name}" in refused.err
