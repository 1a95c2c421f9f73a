"""Soft labels from a file: reading, refusals, which samples are distilled."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from kdzoo.api import UNLABELLED, Batch, KdzooError
from kdzoo_response.experts import Experts, File
from kdzoo_response.functional import kd_loss
from kdzoo_response.tables import read_table

CLASSES = ("cat", "dog", "fox")
NAMES = ("a.png", "b.png", "c.png", "d.png")
TABLE = np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]])
CSV = "fox,name,cat,dog\n0.2,a.png,0.5,0.3\n0.2,d.png,0.2,0.6\n0,b.png,0,1\n.8,c.png,.1,.1\n"


class Run:
    """As much of a run as the scheme needs."""

    def __init__(self, labels=(0, 1, 2, 1), augment=None, labels_per_class=None):
        self.device = torch.device("cpu")
        self.data = SimpleNamespace(names=NAMES, classes=CLASSES, labels=torch.tensor(labels))
        config = SimpleNamespace(augment=augment, labels_per_class=labels_per_class)
        self.recipe = SimpleNamespace(data=config)
        self.enrolled, self.derived = {}, {}

    def build(self, role):
        return torch.nn.Linear(1, 1)

    def enroll(self, role, module):
        self.enrolled[role] = module

    def derive(self, role, compute):
        self.derived[role] = compute


@pytest.fixture
def write(tmp_path):
    def written(content, name="labels.csv"):
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content)
        else:
            np.save(path, content)
        return path

    return written


def batch(*index):
    return Batch(torch.tensor(index), {})


def test_columns_and_rows_of_a_csv_are_found_by_name(write):
    np.testing.assert_allclose(read_table(write(CSV), NAMES, CLASSES), TABLE)
    np.testing.assert_allclose(read_table(write("\ufeff" + CSV), NAMES, CLASSES), TABLE)


def test_rows_and_columns_of_an_array_are_in_order(write):
    np.testing.assert_array_equal(read_table(write(TABLE, "labels.npy"), NAMES, CLASSES), TABLE)
    ones = np.array([[1, 0, 0]] * 4)
    np.testing.assert_array_equal(read_table(write(ones, "labels.npy"), NAMES, CLASSES), ones)


def test_what_is_not_said_is_nan(write):
    kept = "\n".join(line for line in CSV.splitlines() if "b.png" not in line)
    assert np.isnan(read_table(write(kept), NAMES, CLASSES)).all(axis=1).tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert np.isnan(read_table(write(CSV.replace("0,b.png,0,1", ",b.png,,")), NAMES, CLASSES))[1].all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (CSV.replace("dog", "wolf"), "lacks 'dog' and adds 'wolf'"),
        (CSV.replace("fox,", "cat,", 1), "lacks 'fox' and repeats 'cat'"),
        ("", "lacks 'name', 'cat', 'dog' and 1 more"),
        (CSV.replace("d.png", "e.png"), "no training sample is called 'e.png'; they are called as 'a.png'"),
        (CSV.replace("d.png", "c.png"), "sample 'c.png' is there twice"),
        (CSV.replace("0,b.png,0,1", "0,b.png,0"), "the line that begins '0' has 3 values for 4 columns"),
        (CSV.replace("0,b.png,0,1", "0,b.png,0,much"), "sample 'b.png': could not convert"),
        (CSV.replace("0,b.png,0,1", "0,b.png,0,2"), "1 rows .* first is that of 'b.png': 0, 2, 0$"),
        (CSV.replace("0,b.png,0,1", "-1,b.png,1,1"), "1 rows .* first is that of 'b.png': 1, 1, -1$"),
        (CSV.replace("0,b.png,0,1", "0,b.png,,1"), "1 rows .* first is that of 'b.png': nan, 1, 0$"),
        (CSV.replace("0,b.png,0,1", "inf,b.png,0,1"), "1 rows .* first is that of 'b.png': 0, 1, inf$"),
    ],
)
def test_a_bad_csv_is_refused_in_one_line(write, content, said):
    with pytest.raises(KdzooError, match=said) as refused:
        read_table(write(content), NAMES, CLASSES)
    assert "\n" not in str(refused.value)
    assert "labels.csv" in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TABLE[:3], r"array of \(4, 3\) numbers.*not \(3, 3\) of float64"),
        (TABLE[:, :2], r"not \(4, 2\)"),
        (TABLE[None], r"not \(1, 4, 3\)"),
        (TABLE.astype(str), "of <U"),
        (TABLE * 2, "4 rows are not probabilities.*'a.png': 1, 0.6, 0.4"),
        ("no array", "not an array of numbers"),
    ],
)
def test_a_bad_array_is_refused_in_one_line(write, content, said):
    with pytest.raises(KdzooError, match=said) as refused:
        read_table(write(content, "labels.npy"), NAMES, CLASSES)
    assert "\n" not in str(refused.value)


def test_other_files_are_refused(write, tmp_path):
    with pytest.raises(KdzooError, match=r"accepted are .csv and .npy"):
        read_table(write("{}", "labels.json"), NAMES, CLASSES)
    with pytest.raises(KdzooError, match="there is no such file"):
        read_table(tmp_path / "nothing.csv", NAMES, CLASSES)


def test_the_teacher_says_what_the_experts_said(write):
    run, scheme = Run(), Experts(write(CSV))
    scheme.enroll(run)
    assert list(run.enrolled) == ["student"]
    assert list(run.derived) == ["teacher"]
    logits = run.derived["teacher"](batch(2, 0, 1)).logits
    assert logits.dtype == torch.float32
    np.testing.assert_allclose(logits.softmax(1).numpy(), TABLE[[2, 0, 1]], rtol=1e-5, atol=1e-30)
    student = torch.zeros(3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(kd_loss(student, logits, temperature=1.0), student)
    assert gradient.isfinite().all()  # a probability of zero has a finite logit
    (lesson,) = scheme.lessons(run, batch(2, 0, 1))
    assert (lesson.student, lesson.teacher, lesson.weight) == ("student", "teacher", 1.0)


def test_missing_samples_are_refused_or_skipped(write):
    file = write("\n".join(line for line in CSV.splitlines() if "b.png" not in line))
    with pytest.raises(KdzooError, match="1 of 4 training samples have none"):
        Experts(file).enroll(Run())
    scheme, run = Experts(file, missing="skip"), Run()
    scheme.enroll(run)
    (lesson,) = scheme.lessons(run, batch(0, 1, 2, -1))
    assert lesson.weight.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert run.derived["teacher"](batch(0, 1, 2, -1)).logits.isfinite().all()


def test_samples_of_the_validation_split_may_be_missing(write):
    file = write("\n".join(line for line in CSV.splitlines() if "b.png" not in line))
    scheme, run = Experts(file, missing="skip"), Run(labels=(0, UNLABELLED, 2, 1))
    scheme.enroll(run)
    (lesson,) = scheme.lessons(run, batch(0, 2, 3))
    assert lesson.weight == 1.0  # nothing is skipped, so losses of a whole batch can be taught too
    Experts(file).enroll(Run(labels=(0, UNLABELLED, 2, 1)))
    with pytest.raises(KdzooError, match="1 of 4"):  # where labels are withheld, nobody can tell
        Experts(file).enroll(Run(labels=(0, UNLABELLED, 2, 1), labels_per_class=1))


def test_a_file_that_says_nothing_is_refused(write):
    with pytest.raises(KdzooError, match="no training sample has any"):
        Experts(write(np.full((4, 3), np.nan), "labels.npy"), missing="skip").enroll(Run())


def test_blended_images_are_refused(write):
    for augment in ({"mixup": 0.2, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}):
        with pytest.raises(KdzooError, match="blend"):
            Experts(write(CSV)).enroll(Run(augment=SimpleNamespace(**augment)))
    Experts(write(CSV)).enroll(Run(augment=SimpleNamespace(mixup=0.0, cutmix=0.0)))


def test_the_recipe_keeps_an_absolute_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert TypeAdapter(File).validate_python("labels.csv") == tmp_path.resolve() / "labels.csv"
    assert TypeAdapter(File).validate_python("~/labels.csv") == Path.home().resolve() / "labels.csv"
