"""The command line in this process: what a user types, what comes back."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from kdzoo.cli import main as entry


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


class Terminal(io.StringIO):
    """Standard output that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(kdzoo, monkeypatch) -> Callable[..., list[str]]:
    """terminal("list", columns=80) -> the lines that a terminal of that width is sent, without colours."""

    def call(*arguments: object, columns: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        screen = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", screen)
            answer = kdzoo(*arguments)
        assert answer.code == 0, answer.err
        return re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()

    return call


@pytest.fixture
def kdzoo(monkeypatch, capsys) -> Callable[..., Answer]:
    """kdzoo("list", "--json") -> exit code, standard output, standard error."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr("sys.argv", ["kdzoo", *map(str, arguments)])
        code = 0
        try:
            entry.main()
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KDZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
