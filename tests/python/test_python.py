"""The commands from Python."""

import subprocess
import sys
from types import ModuleType

import pytest
import timm
import torch

import kdzoo
from kdzoo.errors import KdzooError
from kdzoo.python.suite import bench

SMALL = {
    "data.train_per_class": 4,
    "data.test_per_class": 2,
    "data.val_fraction": 0.0,
    "data.batch_size": 8,
    "checkpoint_seconds": 1e9,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("python") / "run"
    return kdzoo.distill(
        "baseline", student="test_resnet", epochs=2, output=folder, settings=SMALL, device="cpu", quiet=True
    )


def test_a_run_has_its_figures_its_recipe_and_its_student(run):
    assert run.result["test/last"] >= 0
    assert [row["epoch"] for row in run.metrics] == [1, 2]
    assert {"phase", "train/task", "lr"} <= set(run.metrics[0])
    assert (run.recipe.method, run.recipe.epochs, run.recipe.data.batch_size) == ("baseline", 2, 8)
    student = run.student()
    assert not student.training
    again = timm.create_model(f"local-dir:{run.folder / 'student'}", pretrained=True).eval()
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(student(images), again(images))
    assert kdzoo.load(run.folder).result == run.result


def test_a_finished_run_is_returned_at_once(run):
    before = (run.folder / "metrics.jsonl").read_bytes()
    again = kdzoo.distill(
        "baseline",
        student="test_resnet",
        epochs=2,
        output=run.folder,
        settings=SMALL,
        resume=True,
        quiet=True,
    )
    assert again.result == run.result
    assert (run.folder / "metrics.jsonl").read_bytes() == before


def test_with_pandas_the_metrics_are_a_frame(run, monkeypatch):
    class DataFrame:
        def __init__(self, rows):
            self.rows = rows

    stand_in = ModuleType("pandas")
    stand_in.DataFrame = DataFrame
    monkeypatch.setitem(sys.modules, "pandas", stand_in)
    assert isinstance(run.metrics, DataFrame)
    assert [row["epoch"] for row in run.metrics.rows] == [1, 2]


def test_without_a_terminal_there_is_a_line_for_each_epoch(tmp_path, capsys):
    """As in a notebook, which is none."""
    kdzoo.distill(
        "baseline", student="test_resnet", epochs=2, output=tmp_path / "run", settings=SMALL, device="cpu"
    )
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("distill")] == [
        ["distill", "1/2"],
        ["distill", "2/2"],
    ]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda folder: kdzoo.distill("kd", studnet="resnet18"),
            "unknown argument of kdzoo.distill 'studnet'",
        ),
        (lambda folder: kdzoo.distill("kdd", student="resnet18"), "unknown method 'kdd'; did you mean"),
        (lambda folder: kdzoo.load(folder), "holds no run and no suite"),
        (lambda folder: kdzoo.load(folder / "nothing"), "no such folder"),
        (lambda folder: kdzoo.bench("nothing", output=folder), "^unknown suite 'nothing'"),
    ],
)
def test_bad_input_is_one_line(call, says, tmp_path):
    with pytest.raises(KdzooError, match=says):
        call(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_that_has_not_ended_has_no_student_and_no_result(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"event": "epoch", "phase": "distill", "epoch": 1, "metrics": {"lr": 1}}\n'
    )
    run = kdzoo.load(tmp_path)
    assert run.result is None
    assert run.metrics == [{"phase": "distill", "epoch": 1, "lr": 1}]
    with pytest.raises(KdzooError, match="the run has not ended"):
        run.student()
    with pytest.raises(KdzooError, match=r"recipe\.yaml"):
        _ = run.recipe


def test_bench_is_a_package_and_a_function():
    import kdzoo.bench.results

    assert kdzoo.bench.results.SuiteResults
    assert callable(kdzoo.bench)
    assert bench.__doc__.startswith("Compare methods")


def test_import_stays_quick():
    code = "import sys, kdzoo; print(sorted({'torch', 'timm', 'pydantic', 'typer'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
