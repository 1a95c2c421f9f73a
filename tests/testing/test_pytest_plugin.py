"""``pytest --kdzoo`` in a project of its own, and what it costs a project that does not ask for it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MODULE = '''
from kdzoo.api import Observer, hookimpl


class Quiet(Observer):
    """Says nothing."""

    name = "quiet"
    exempt = {"card": "a test needs none"}

    def observe(self, event):
        pass


class Unwritten(Observer):
    name = "unwritten"

    def observe(self, event):
        pass


@hookimpl
def kdzoo_observers():
    return [Quiet, Unwritten]
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a pyproject.toml, whose distribution is on the import path."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "kdzoo-quiet"\n[tool.pytest.ini_options]\n')
    (tmp_path / "kdzoo_quiet.py").write_text(MODULE)
    info = tmp_path / "kdzoo_quiet-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kdzoo-quiet\nVersion: 1.2.3\n")
    (info / "entry_points.txt").write_text("[kdzoo]\nquiet = kdzoo_quiet\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return tmp_path


def run_pytest(project, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "kdzoo.testing.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-rs", "-v", *arguments], cwd=project, capture_output=True, text=True, timeout=250
    )
    return done.returncode, done.stdout + done.stderr


def test_each_component_and_check_is_a_test(project):
    code, text = run_pytest(project, "--kdzoo")
    assert code == 1, text
    assert "3 failed" not in text
    assert "kdzoo::observer-quiet-exemption PASSED" in text
    assert "exempt: a test needs none" in text
    assert "kdzoo::observer-unwritten-card FAILED" in text
    assert "observer 'unwritten' of kdzoo-quiet 1.2.3: no docstring (card, class Unwritten)." in text
    assert "1 failed, 4 passed, 1 skipped" in text


@pytest.mark.slow
def test_a_name_that_means_nothing_is_one_line(project):
    code, text = run_pytest(project, "--kdzoo=kdzoo-quite")
    assert code == 4
    assert "ERROR: --kdzoo: nothing installed is called 'kdzoo-quite'" in text


def test_without_the_flag_there_is_nothing_and_no_torch():
    code = "import sys, kdzoo.testing.pytest_plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_pytest_finds_it_by_its_entry_point():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"kdzoo": "kdzoo.testing.pytest_plugin"}
