"""Environments of their own, in which nothing is installed but what a test installs."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Environment:
    """A new virtual environment that sees the packages of this one, and keeps to itself what is installed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        self.run(self.uv, "venv", "--offline", "--python", sys.executable, folder / "venv")
        self.python = folder / "venv" / "bin" / "python"
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        # addsitedir and no mere path, for the core is installed editable there.
        ours = sysconfig.get_path("purelib")
        (site / "parent.pth").write_text(f"import site; site.addsitedir({ours!r})\n")

    def run(self, *command: object, code: int = 0, **more: str) -> str:
        """What it prints, both streams; its exit code must be ``code``."""
        done = subprocess.run(
            [str(one) for one in command],
            cwd=self.folder,
            env={**os.environ, "UV_CACHE_DIR": str(self.folder / "uv"), "COLUMNS": "200", **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def build(self, project: Path, distribution: str | None = None) -> Path:
        """The wheel of a project, made without a network by the build backend that is installed here.

        Args:
            project: its folder.
            distribution: its name, where it is not the folder's.

        """
        where = self.folder / "dist"
        quiet = ("--no-build-isolation", "--offline", "--python", sys.executable)
        self.run(self.uv, "build", "--wheel", *quiet, "--out-dir", where, project)
        (wheel,) = where.glob(f"{(distribution or project.name).replace('-', '_')}-*.whl")
        return wheel

    def pip(self, verb: str, *what: object) -> str:
        """``pip`` of this environment, without a network and without dependencies."""
        alone = ("--no-deps", "--no-build-isolation", "--offline") if verb == "install" else ()
        return self.run(self.uv, "pip", verb, "--python", self.python, *alone, *what)

    def kdzoo(self, *arguments: object, code: int = 0) -> str:
        return self.run(self.python, "-m", "kdzoo", *arguments, code=code)

    def pytest(self, *arguments: object) -> str:
        # What a stranger's tests warn of is theirs; the configuration of this repository is out of reach.
        return self.run(self.python, "-m", "pytest", "-p", "no:cacheprovider", *arguments)


@pytest.fixture
def environment(tmp_path) -> Environment:
    return Environment(tmp_path)
