"""``kdzoo probe`` on exported students and timm models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdzoo.cli.main import main
from kdzoo.jobs.train import train
from kdzoo.zoo import Zoo
from tests.jobs.runs import small

DIGITS = ("--dataset", "digits", "--train-per-class", "12", "--test-per-class", "6", "--seed", "0")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe") / "run"
    settings = {"data.train_per_class": 60, "data.batch_size": 32, "epochs": 6}
    train(small("baseline", **{**settings, "roles.student.model": "test_resnet"}), folder, zoo=Zoo())
    return folder


def probed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["kdzoo", "probe", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    code = ended.value.code or 0
    return int(code), captured.out if not code else captured.err


def test_a_trained_student_beside_a_random_teacher(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out = probed(
        capsys, monkeypatch, str(trained), "--teacher", "test_resnet", *DIGITS, "--shots", "1,10,20", "--json"
    )
    assert code == 0
    found = json.loads(out)
    assert list(found) == ["student", "teacher"]
    assert list(found["student"]) == ["knn", "linear", "shots/1", "shots/10"], "no class has 20 images"
    assert found["student"]["knn"] > found["teacher"]["knn"]
    assert all(0 <= figure <= 100 for figures in found.values() for figure in figures.values())
    _, again = probed(capsys, monkeypatch, str(trained / "student"), *DIGITS, "--shots", "1,10", "--json")
    assert json.loads(again)["student"] == found["student"], "the run's folder stands for its student"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nothing_like_it",), "nothing_like_it"),
        ((".",), "neither a finished run nor an exported student"),
        (("test_resnet", "--shots", "few"), "--shots: expected numbers such as 1,5,10, not 'few'"),
        (("test_resnet", "--weights", "absent.pth"), "absent.pth"),
    ],
)
def test_bad_input_gives_one_line(
    arguments: tuple[str, ...],
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, err = probed(capsys, monkeypatch, *arguments, *DIGITS)
    assert code == 2
    assert line in err
    assert len(err.splitlines()) == 1
