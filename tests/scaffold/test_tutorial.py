"""The tutorial, from its first command to its last, in an environment of its own; and the example that it ends in."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
EXAMPLE = ROOT / "examples" / "kdzoo-cosine"
FENCE = re.compile(r"(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

SMALL = "--train-per-class 4 --test-per-class 2 --teacher-epochs 1 --epochs 2 --quiet --set observers=[]"
SHORT = {
    "distill": SMALL,
    "bench": "--epochs 1 --seeds 0 --workers 1 --set roles.teacher.epochs=1",
    "check": "--only gradient,mean,card,trained,resume",  # the example's tests run every check
}
"""What is added to a command so that it ends in seconds: less work, the same paths."""


def blocks(text):
    """(file that it is, language, content)."""
    return [match.groups() for match in FENCE.finditer(text)]


def test_the_readme_shows_the_same_five_commands():
    shown = [
        content for _, language, content in blocks((ROOT / "README.md").read_text()) if language == "bash"
    ]
    first = next(content for _, language, content in blocks(TUTORIAL) if language == "bash")
    assert first in shown
    assert len(first.splitlines()) == 5


@pytest.mark.slow
@pytest.mark.timeout(900)  # a dozen processes
def test_every_command_works_in_the_order_of_the_page(environment):
    said = []  # (command without its comment, what it printed)
    for path, language, content in blocks(TUTORIAL):
        if path is not None:
            assert (environment.folder / path).parent.is_dir(), f"{path}: kdzoo new writes no such folder"
            (environment.folder / path).write_text(content)
            continue
        assert language == "bash", f"a block of {language} that is no file"
        commands = [shlex.split(line, comments=True) for line in content.splitlines()]
        said += [(shlex.join(command), run(environment, command)) for command in commands]
    for line, out in said:
        if line.startswith("kdzoo bench"):
            name = "centres" if "centres.yaml" in line else "cosine"
            row = next(one for one in out.splitlines() if one.split()[:1] == [name])
            assert f"kdzoo-{name} 0.1.0" in row
        if line == "kdzoo bench centres.yaml":
            assert "test/nearest  test/confidence" in out
            baseline = next(one for one in out.splitlines() if one.split()[:1] == ["baseline"])
            assert re.search(r"–\s+\d+\.\d\d\s", baseline), "no nearest centre, but a confidence"
        if line.startswith("kdzoo check"):
            assert "no findings" in out
        if line == "kdzoo plugins":
            assert re.search(r"kdzoo-cosine.* ok", out)
    assert said[-1][0] == "pip uninstall kdzoo-centres"
    listed = environment.kdzoo("plugins", "--metadata")
    assert "kdzoo-cosine" not in listed
    assert "kdzoo-centres" not in listed


def run(environment, command):
    match command:
        case ["kdzoo", name, *arguments]:
            short = shlex.split(SHORT.get(name, ""))
            if name == "bench":
                short += ["--methods", "baseline,centres" if "centres.yaml" in arguments else "cosine"]
            return environment.kdzoo(name, *arguments, *short)
        case ["pip", verb, *arguments]:
            return environment.pip(verb, *arguments)
        case ["pytest", *arguments]:
            return environment.pytest(*arguments, "-k", "not conformance")  # see SHORT
        case ["uv", "build", project, "--out-dir", "dist"]:
            return str(environment.build(environment.folder / project))
    raise AssertionError(f"the tutorial has a command that nobody runs: {shlex.join(command)}")


def test_it_ends_in_the_example():
    files = {path: text for path, _, text in blocks(TUTORIAL) if path and path.startswith("kdzoo-cosine/")}
    assert len(files) == 2
    for path, content in files.items():
        assert (ROOT / "examples" / path).read_text() == content, path


@pytest.mark.slow
@pytest.mark.timeout(900)  # every check of the kit
def test_the_example_works_from_its_wheel(environment):
    environment.pip("install", environment.build(EXAMPLE))
    environment.pytest(
        EXAMPLE / "tests", "-W", "error", "--import-mode=importlib", "--rootdir", environment.folder
    )
    shown = environment.kdzoo("show", "cosine")
    assert "Cosine of embeddings" in shown
    assert "knowledge.scale" in shown


def test_the_example_is_outside_the_workspace():
    assert "examples" not in (ROOT / "Makefile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    del project["tool"]["ruff"]  # it reads every file
    assert "examples" not in str(project)


def test_the_example_s_card_runs(environment):
    (code,) = [
        content
        for _, language, content in blocks((EXAMPLE / "README.md").read_text())
        if language == "python"
    ]
    environment.run(environment.python, "-c", code, PYTHONPATH=str(EXAMPLE))
