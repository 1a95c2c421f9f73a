"""``kdzoo new``: what is refused, and what is written."""

import ast
import builtins
import keyword
import os
import re
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from kdzoo.cli import main as entry
from kdzoo.errors import KdzooError
from kdzoo.registry.load import as_registry
from kdzoo.scaffold.names import KINDS, core_range, names_of
from kdzoo.scaffold.write import package_files
from kdzoo.version import __version__

ROOT = Path(__file__).parents[2]


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["kdzoo", "new", *map(str, arguments)])
    code = 0
    try:
        entry.main()
    except SystemExit as error:
        code = error.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["9lives"], "is no name for a plugin"),
        (["a/b"], "is no name for a plugin"),
        (["../up"], "is no name for a plugin"),
        (["été"], "is no name for a plugin"),
        (["-"], "is no name for a plugin"),
        (["lambda"], "is no name for a plugin: lambda means something in Python"),
        (["None"], "is no name for a plugin: None means something in Python"),
        (["true"], "is no name for a plugin: True means something in Python"),
        (["Exception"], "is no name for a plugin: Exception means something in Python"),
        (["non-negative-float"], "a class NonNegativeFloat is part of what every plugin imports"),
        (["a" * 300], "at most 50"),
        (["Knowledge"], "part of what every plugin imports"),
        (["rkd"], "kdzoo-relation has the method 'rkd' already"),
        (["Last-Batch"], "kdzoo-self has the algorithm 'last-batch' already"),
        (["offline"], "kdzoo has the scheme 'offline' already"),
        (["relation"], "kdzoo-relation is installed already"),
        (["fine", "--kind", "suite"], "unknown kind 'suite'"),
    ],
)
def test_a_bad_name_is_refused_in_one_line_and_nothing_is_written(
    arguments, says, tmp_path, monkeypatch, capsys
):
    code, out, err = call(monkeypatch, capsys, *arguments, "--output", tmp_path / "new")
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path, monkeypatch, capsys):
    (tmp_path / "kdzoo-fine").mkdir()
    code, _, err = call(monkeypatch, capsys, "fine", "--output", tmp_path)
    assert (code, err.count("\n"), "is there already" in err) == (2, 1, True)
    assert list((tmp_path / "kdzoo-fine").iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_imports_what_is_promised_alone(kind):
    reference = (ROOT / "docs" / "reference.md").read_text()
    for path, text in package_files(names_of("fine"), kind).items():
        if not str(path).endswith(".py"):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "kdzoo":
                assert node.module in ("kdzoo.api", "kdzoo.testing"), f"{path}: {node.module}"
                for one in node.names:
                    assert re.search(rf"`@?{one.name}\b", reference), (
                        f"{path}: {one.name} is not in the reference"
                    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_told(tmp_path, monkeypatch, capsys):
    tmp_path.chmod(0o500)
    code, _, err = call(monkeypatch, capsys, "fine", "--output", tmp_path)
    tmp_path.chmod(0o700)
    assert (code, "Permission denied" in err) == (2, True)


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    code, _, err = call(monkeypatch, capsys, "fine", "--output", tmp_path / "file")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("typed", ["Soft_Cosine", "soft cosine", "kdzoo-soft-cosine", " soft-cosine "])
def test_spellings_of_one_name(typed):
    names = names_of(typed)
    assert (names.name, names.distribution, names.package, names.module, names.cls, names.title) == (
        "soft-cosine",
        "kdzoo-soft-cosine",
        "kdzoo_soft_cosine",
        "soft_cosine",
        "SoftCosine",
        "Soft cosine",
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["on", "null", "soft-cosine"])  # the first two are values in YAML
def test_what_is_written_is_well_formed(kind, name):
    names = names_of(name)
    files = package_files(names, kind)
    for path, text in files.items():
        assert text.endswith("\n") or not text, path
        assert "{{" not in text.replace("{{ github", ""), path
        assert "{%" not in text, path
        if path.endswith(".py"):
            ast.parse(text)
    assert yaml.safe_load(files[".github/workflows/test.yml"])["jobs"]
    if kind == "observer":
        assert not [path for path in files if "registry" in path]
    else:
        registry = as_registry(yaml.safe_load(files[f"{names.package}/registry.yaml"]))
        assert list(registry.methods) == [name]
        assert (kind, name) in {(kind, one.name) for kind, one in registry.methods[name].components}
        assert registry.methods[name].package == names.distribution


def test_a_word_of_python_is_refused_or_makes_files_that_compile():
    words = {*dir(builtins), *keyword.kwlist, *keyword.softkwlist}
    compiled = 0
    for word in words:
        try:
            names = names_of(re.sub(r"(?<=[a-z])(?=[A-Z])", "-", word))  # ValueError as value-error
        except KdzooError:
            continue
        assert not hasattr(builtins, names.cls), word
        for kind in KINDS:
            for path, text in package_files(names, kind).items():
                if path.endswith(".py"):
                    compile(text, path, "exec")
                    compiled += 1
    assert compiled > 100
    for word in ("None", "True", "async", "class", "ValueError", "Exception"):
        with pytest.raises(KdzooError, match="is no name for a plugin"):
            names_of(re.sub(r"(?<=[a-z])(?=[A-Z])", "-", word))


def test_what_the_templates_import_cannot_be_the_name_of_a_class():
    for kind in KINDS:
        for path, text in package_files(names_of("zzz"), kind).items():
            for node in ast.walk(ast.parse(text)) if path.endswith("zzz.py") else ():
                for one in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
                    spelled = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", one.name)
                    if one.name[0].isupper() and one.name != "Zzz":
                        with pytest.raises(KdzooError, match="part of what every plugin imports"):
                            names_of(spelled)


def test_the_whole_command_lists_what_it_wrote(tmp_path, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "fine", "--output", tmp_path / "new")
    assert code == 0
    listed = {Path(line) for line in out.splitlines() if line.startswith(str(tmp_path))}
    assert listed == {path for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert "next: pip install -e " in out


@pytest.mark.parametrize(
    ("version", "expected"), [("0.1.0", ">=0.1,<0.2"), ("0.9.3", ">=0.9,<0.10"), ("2.4.1", ">=2.4,<3")]
)
def test_the_versions_of_the_core_are_those_of_the_promise(version, expected):
    assert core_range(version) == expected
    assert Requirement(f"kdzoo{core_range()}").specifier.contains(Version(__version__), prereleases=True)


def test_the_wheel_of_the_core_has_every_template(environment):
    wheel = environment.build(ROOT, "kdzoo")
    names = set(zipfile.ZipFile(wheel).namelist())
    templates = [path for path in (ROOT / "kdzoo" / "scaffold" / "templates").rglob("*") if path.is_file()]
    assert len(templates) > 10
    assert {str(path.relative_to(ROOT)) for path in templates} <= names
