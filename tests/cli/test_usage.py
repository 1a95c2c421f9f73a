"""What the parser refuses: one line that names the option and the command whose help says more; exit code 2."""

import io

import pytest
from typer.testing import CliRunner

from kdzoo.cli.main import app


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("distill", "--epoch", "3"),
            "no such option --epoch; did you mean --epochs? (kdzoo distill --help)",
        ),
        (("list", "--xyzzy"), "no such option --xyzzy (kdzoo list --help)"),
        (("list", "-z"), "no such option -z (kdzoo list --help)"),
        (("--verzion",), "no such option --verzion; did you mean --version? (kdzoo --help)"),
        (("show",), "missing argument METHOD (kdzoo show --help)"),
        (("report",), "missing argument DIR (kdzoo report --help)"),
        (
            ("predict", "RUN", "x.jpg", "--format", "xml"),
            "--format: 'xml' is not one of 'table', 'jsonl', 'csv' (kdzoo predict --help)",
        ),
        (("distill", "--epochs"), "option '--epochs' requires an argument"),
        (("lst",), "unknown command 'lst'; did you mean list? (kdzoo --help)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_it_is_refused_in_one_line(kdzoo, arguments, line):
    answer = kdzoo(*arguments)
    assert (answer.code, answer.out, answer.err) == (2, "", f"kdzoo: {line}\n")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("distill", "--epochs", "many"), ("kdzoo: --epochs: ", "integer", "many", "(kdzoo distill --help)")),
        (("bench", "quick", "--workers", "0"), ("kdzoo: --workers: ", "1", "(kdzoo bench --help)")),
        (("show", "kd", "dkd"), ("unexpected extra argument", "dkd", "(kdzoo show --help)")),
        (("--",), ("missing command", "(kdzoo --help)")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_the_parser_says_is_in_the_line(kdzoo, arguments, parts):
    answer = kdzoo(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1, answer.err
    for part in parts:
        assert part in answer.err


def test_help_and_version_are_no_errors(kdzoo):
    for arguments in (("--help",), ("distill", "--help"), ("--version",)):
        answer = kdzoo(*arguments)
        assert (answer.code, answer.err) == (0, "")
        assert answer.out


def test_a_command_that_asks_ends_when_it_is_refused(kdzoo, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    answer = kdzoo("install", "kd")
    assert answer.code == 1
    assert answer.err == "kdzoo: aborted\n"


@pytest.mark.parametrize("word", ["li", ""])
def test_completion_offers_commands(word):
    environment = {"_KDZOO_COMPLETE": "complete_bash", "COMP_WORDS": f"kdzoo {word}", "COMP_CWORD": "1"}
    done = CliRunner().invoke(app, [], prog_name="kdzoo", env=environment)
    assert "list" in done.stdout.split()
