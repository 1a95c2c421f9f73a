"""``kdzoo check``: a line for each check, exit code 1 with findings, 2 with bad input."""

import json

import pytest

PLUGIN = '''
from kdzoo.api import Knowledge, hookimpl


class Sum(Knowledge):
    """The squared distance of the logits.

    Args:
        weight: of the distance.
        margin: of nothing.
    """

    name = "sum"
    kind = "response"
    exempt = {"card": "a test needs none"}

    def __init__(self, weight: float = 1.0, margin: float = 1.0):
        super().__init__()
        self.weight = weight

    def forward(self, student, teacher, batch):
        return self.weight * (student.logits - teacher.logits).square().sum()


@hookimpl
def kdzoo_knowledge():
    return [Sum]
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    (tmp_path / "kdzoo_sums.py").write_text(PLUGIN)
    info = tmp_path / "kdzoo_sums-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kdzoo-sums\nVersion: 1.2.3\n")
    (info / "entry_points.txt").write_text("[kdzoo]\nsums = kdzoo_sums\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_each_check_has_a_line(kdzoo, plugin):
    answer = kdzoo("check", "sum", "--only", "zero,mean,hyper-parameter,card")
    assert answer.code == 1, answer.err
    assert "knowledge 'sum' of kdzoo-sums 1.2.3" in answer.out
    assert "zero: ok" in answer.out
    assert "card: exempt: a test needs none" in answer.out
    assert (
        "mean: with every sample twice the loss is 2.00 times as large (forward). Return (B,)" in answer.out
    )
    assert "(hyper-parameter margin)" in answer.out
    assert "2 findings in 4 checks" in answer.out


def test_what_is_left_out_finds_nothing(kdzoo, plugin):
    answer = kdzoo("check", "kdzoo-sums", "--only", "mean,zero", "--without", "mean")
    assert answer.code == 0, answer.err
    assert "mean" not in answer.out
    assert "no findings in 1 check\n" in answer.out


def test_json(kdzoo, plugin):
    answer = kdzoo("check", "sum", "--only", "mean,card", "--json")
    assert answer.code == 1
    mean, card = json.loads(answer.out)
    assert (mean["component"], mean["check"], mean["exempt"]) == ("sum", "mean", None)
    assert mean["findings"][0]["where"] == "forward"
    assert (card["exempt"], card["findings"]) == ("a test needs none", [])


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("sun",), ("nothing installed is called 'sun'",)),
        (("offline", "--only", "meen"), ("unknown check 'meen'", "did you mean mean")),
        (("offline", "--without", "zeros"), ("unknown check 'zeros'", "did you mean zero")),
        (("offline", "--set", "epochs"), ("--set epochs", "KEY=VALUE")),
        (("offline", "--set", "data.datasett=x"), ("data.datasett", "data.dataset")),
    ],
)
def test_bad_input_is_one_line(kdzoo, arguments, parts):
    answer = kdzoo("check", *arguments)
    assert answer.code == 2
    assert answer.err.count("\n") == 1, answer.err
    for part in parts:
        assert part in answer.err


def test_a_setting_reaches_the_recipe(kdzoo, plugin):
    answer = kdzoo("check", "sum", "--only", "zero", "--set", "roles.student.model=no_such_model")
    assert answer.code == 2
    assert "no_such_model" in answer.err
