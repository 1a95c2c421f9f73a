"""Packages are resolved, what will run is said first, and nothing runs without a yes."""

import importlib.util
import shutil
import subprocess
import sys

import pytest
import typer


@pytest.fixture
def ran(monkeypatch):
    """The commands that would have run; ``code`` is what they end with."""
    commands: list[list[str]] = []

    def run(command, check):
        commands.append(command)
        return subprocess.CompletedProcess(command, ran_code[0])

    ran_code = [0]
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    return commands, ran_code


def test_a_method_becomes_its_package_and_a_package_stays(ran, kdzoo):
    answer = kdzoo("install", "--yes", "rkd", "sp", "somebody-else")
    assert answer.code == 0
    assert ran[0] == [[sys.executable, "-m", "pip", "install", "kdzoo-relation", "somebody-else"]]
    assert "This will run: " in answer.out
    assert "kdzoo-relation somebody-else\nInstalling a package runs its code." in answer.out


def test_without_a_yes_nothing_runs(ran, kdzoo, monkeypatch):
    monkeypatch.setattr(typer, "confirm", lambda question: False)
    assert kdzoo("install", "rkd").code == 1
    assert ran[0] == []


def test_uninstall_asks_pip_no_further_question(ran, kdzoo):
    assert kdzoo("uninstall", "--yes", "rkd").code == 0
    assert ran[0] == [[sys.executable, "-m", "pip", "uninstall", "--yes", "kdzoo-relation"]]


def test_uv_serves_where_there_is_no_pip(ran, kdzoo, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/uv")
    assert kdzoo("install", "--yes", "kd").code == 0
    assert ran[0] == [["/bin/uv", "pip", "install", "--python", sys.executable, "kdzoo-response"]]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    answer = kdzoo("install", "--yes", "kd")
    assert (answer.code, "neither pip nor uv" in answer.err) == (2, True)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["install", "--yes", "--", "--index-url=x"], "is not the name of a package"),
        (["uninstall", "--yes", "baseline"], "does not uninstall kdzoo itself"),
    ],
)
def test_what_cannot_be_meant_is_refused(ran, kdzoo, command, says):
    answer = kdzoo(*command)
    assert answer.code == 2
    assert says in answer.err
    assert ran[0] == []


def test_a_failure_is_told(ran, kdzoo):
    ran[1][0] = 7
    answer = kdzoo("install", "--yes", "kd")
    assert (answer.code, "exit code 7 from: " in answer.err) == (2, True)
