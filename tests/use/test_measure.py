"""The figures of networks on labelled pictures, and the pages that show them."""

from __future__ import annotations

import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support
from torch import Tensor

from kdzoo.errors import KdzooError
from kdzoo.use.comparison import agreement, difference, lead
from kdzoo.use.data import data_of, split_of
from kdzoo.use.latency import measured
from kdzoo.use.measure import MOST_ERRORS, class_ids, majority, measure
from kdzoo.use.model import Model
from kdzoo.use.opening import open_model


class Page(HTMLParser):
    """What a page would load, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data):
        self.text += data


def result_of(run: Path) -> dict[str, float]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return next(row["result"] for row in rows if row["event"] == "result")


def test_an_evaluation_has_the_figures_of_training(kdzoo, run, photos, tmp_path):
    answer = kdzoo(
        "evaluate", run, "--data-dir", photos, "--json", "-o", tmp_path / "page.html", "--batch", 5
    )
    assert answer.code == 0, answer.err
    told, result = json.loads(answer.out), result_of(run)
    for name, key in {"accuracy": "test/last", "macro_f1": "test/macro_f1", "ece": "test/ece"}.items():
        assert told[name] == pytest.approx(result[key], abs=1e-4)
    figures = json.loads((run / "figures.json").read_text())
    assert told["confusion"] == figures["confusion"]
    assert [one["recall"] for one in told["classes"]] == [one["accuracy"] for one in figures["classes"]]
    assert told["majority"]["accuracy"] == pytest.approx(100 * 8 / 18)
    own = json.loads(kdzoo("evaluate", run, "--json").out)
    assert own.pop("ece") == pytest.approx(told.pop("ece"), abs=1e-4), "another batch, other last bits"
    assert own == told, "without a folder the pictures are the run's"


def test_the_page_loads_nothing_and_shows_the_mistakes(kdzoo, run, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, tmp_path / "data")
    (tmp_path / "data" / "test" / "cat" / "<b>bad.png").write_bytes(b"no picture")
    shutil.copytree(run / "student", tmp_path / "student")
    answer = kdzoo("evaluate", "student", "--data-dir", "data")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1] == "page: evaluation.html"
    assert "1 picture cannot be read" in answer.out
    page = Page((tmp_path / "evaluation.html").read_text())
    assert all(one.startswith("data:") for one in page.sources)
    assert not {"script", "b"} & set(page.tags)
    told = json.loads(kdzoo("evaluate", "student", "--data-dir", "data", "--json").out)
    wrong = round(18 * (100 - told["accuracy"]) / 100)
    assert page.tags.count("img") == min(wrong, MOST_ERRORS) + 1, "and the confusion matrix"
    assert f"{told['macro_f1']:.2f}" in page.text
    assert "<b>bad.png" in page.text


def numbers(values: list[int]) -> Tensor:
    return torch.tensor(values)


class Told:
    """A network that has been told what to answer, picture by picture."""

    def __init__(self, like: Model, places: list[int], confidence: float = 4.0) -> None:
        self._left, self._confidence = list(places), confidence
        self.model = Model("told", like.description, self.answer, 0)

    def answer(self, pixels):
        places = torch.tensor([self._left.pop(0) for _ in pixels])
        return self._confidence * torch.nn.functional.one_hot(places, 3).float()


@pytest.fixture
def data(photos):
    return split_of(data_of({"data_dir": str(photos)}, None), "test")


def test_figures_are_those_of_scikit_learn(run, data):
    true = data.targets.numpy()
    found = np.random.default_rng(0).integers(0, 3, len(true))
    [one] = measure([Told(open_model(str(run)), found.tolist()).model], data, batch=7).models
    figures = one.figures()
    assert figures["accuracy"] == pytest.approx(100 * (true == found).mean())
    assert figures["balanced_accuracy"] == pytest.approx(100 * balanced_accuracy_score(true, found))
    assert figures["macro_f1"] == pytest.approx(100 * f1_score(true, found, average="macro"))
    columns = precision_recall_fscore_support(true, found)
    for row, precision, recall, f1, count in zip(one.by_class(data.classes), *columns, strict=True):
        assert (row["precision"], row["recall"], row["f1"], row["pictures"]) == pytest.approx(
            (100 * precision, 100 * recall, 100 * f1, count)
        )


def test_always_the_largest_class(data):
    name, figures = majority(data.targets, data.classes)
    constant = np.full(len(data.targets), data.classes.index(name))
    true = data.targets.numpy()
    assert figures["accuracy"] == pytest.approx(100 * (true == constant).mean())
    assert figures["balanced_accuracy"] == pytest.approx(100 * balanced_accuracy_score(true, constant))
    expected = f1_score(true, constant, average="macro", zero_division=0)
    assert figures["macro_f1"] == pytest.approx(100 * expected)


def test_the_surest_mistakes_come_first(run, data):
    like = open_model(str(run))
    wrong = [(target + 1) % 3 for target in data.targets.tolist()]
    sure = iter(range(1, 99))

    def answer(pixels):
        return torch.stack(
            [float(next(sure)) * torch.nn.functional.one_hot(torch.tensor(wrong.pop(0)), 3) for _ in pixels]
        )

    [one] = measure([Model("wrong", like.description, answer, 0)], data, batch=4).models
    confidences = [mistake.confidence for mistake in one.mistakes]
    assert len(one.mistakes) == min(len(data.rows), MOST_ERRORS)
    assert confidences == sorted(confidences, reverse=True)
    assert all(mistake.true != mistake.found for mistake in one.mistakes)


def named(model: Model, names: tuple[str, ...] | None) -> Model:
    return Model("named", model.description.model_copy(update={"label_names": names}), model.answer, 0)


def test_classes_are_matched_by_name(run, data):
    own = open_model(str(run))
    assert class_ids(named(own, ("eel", "cat", "dog")), data).tolist() == [2, 0, 1]
    assert class_ids(named(own, ("eel", "ant", "cat", "dog")), data).tolist() == [2, -1, 0, 1]
    with pytest.raises(KdzooError, match=r"does not know eel of the test split"):
        class_ids(named(own, ("cat", "dog", "fox")), data)
    with pytest.raises(KdzooError, match="does not say what its classes are called"):
        class_ids(named(own, None), data)


def test_another_order_of_the_classes_gives_the_same_figures(run, data):
    own = open_model(str(run))
    turned = Model(
        "turned",
        own.description.model_copy(update={"label_names": ("eel", "cat", "dog")}),
        lambda pixels: own.answer(pixels)[:, [2, 0, 1]],
        0,
    )
    one, two = measure([own, turned], data).models
    assert one.figures() == two.figures()
    assert torch.equal(one.found, two.found)


def test_a_difference_is_paired():
    """Of four pictures the second network gains one: 25 points, by the formula of a mean of differences."""
    target = numbers([0, 0, 1, 1])
    points, half = difference(numbers([0, 1, 1, 1]), numbers([0, 0, 1, 1]), target)
    assert points == 25.0
    assert half == pytest.approx(100 * 1.959964 * math.sqrt(3 / 16) / 2)
    assert difference(target, target, target) == (0.0, 0.0)


def test_agreement_counts_the_classes_of_the_data():
    one, two = numbers([0, 1, -1, 2]), numbers([0, 2, -1, 2])
    assert agreement([one, two]) == [[75.0, 50.0], [50.0, 75.0]]


def test_the_lead_does_not_claim_what_the_pictures_do_not_show():
    first = {"name": "A", "accuracy": 80.0, "points": 0.0, "sure": False}
    better = {"name": "B", "accuracy": 81.0, "points": 1.0, "sure": False}
    assert "cannot tell from chance" in lead([first, better])
    assert "more than chance explains" in lead([first, {**better, "sure": True}])
    worse = {"name": "C", "accuracy": 79.0, "points": -1.0, "sure": False}
    assert (
        lead([first, worse]) == "A is the most accurate, 80.00 %; the pictures do not tell it apart from C."
    )


def test_a_comparison(kdzoo, run, student, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kdzoo("export", run, "--to", "pt2", "-o", "student.pt2", "--samples", 4).code == 0
    given = ("compare", run, "student.pt2", student("plain"), "--latency-runs", 4)
    answer = kdzoo(*given, "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    own, file, other = told["networks"]
    assert own["accuracy"] == pytest.approx(result_of(run)["test/last"])
    assert (file["accuracy"], file["points"]) == (own["accuracy"], 0.0)
    assert (file["parameters"], file["multiply_adds"]) == (own["parameters"], own["multiply_adds"])
    assert file["bytes"] == (tmp_path / "student.pt2").stat().st_size
    assert told["agreement"][0][1] == 100.0
    assert told["agreement"][0][2] == told["agreement"][2][0]
    assert told["conditions"] == {
        "machine": told["conditions"]["machine"], "threads": torch.get_num_threads(), "batch": 1, "runs": 4,
        "warm_up": 5,
    }  # fmt: skip
    assert len(other["classes"]) == 3
    page = Page((tmp_path / "comparison.html").read_text())
    assert all(one.startswith("data:") for one in page.sources)
    for part in ("student.pt2", "always dog", "4 after 5 that do not count", "How often they agree"):
        assert part in re.sub(r"\s+", " ", page.text)
    lines = kdzoo(*given).out.splitlines()
    table = lines[1:6]
    assert len({len(line) for line in table[:4]}) == 1, "columns are aligned"
    assert max(map(len, table)) <= 80


def test_latency_counts_every_turn_but_the_warm_up(run):
    asked = []
    own = open_model(str(run))

    def answer(pixels):
        asked.append(len(pixels))
        return own.answer(pixels)

    (one, _), conditions = measured([Model("one", own.description, answer, 0), own], batch=3, runs=6)
    assert asked == [3] * (conditions.warm_up + 6)
    assert one.low <= one.median <= one.high
