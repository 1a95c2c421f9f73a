"""Folders that are damaged, of somebody else, or made to deceive: what cannot be believed is named and left out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kdzoo.bench.ledger import SUITE_FILE, TUNING_FILE
from kdzoo.bench.report import write_report
from kdzoo.bench.results import read_results
from kdzoo.errors import KdzooError
from kdzoo.places import CACHE

EVERYTHING = {"baseline": [90.0, 91.0], "kd": [91.0, 92.0]}


def change(folder: Path, event: str, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit each row of that event in a run's journal."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        if row["event"] == event:
            edit(row)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def set_result(key: str, value: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder, "result", lambda row: row["result"].update({key: value}))


def drop_result(key: str) -> Callable[[Path], None]:
    return lambda folder: change(folder, "result", lambda row: row["result"].pop(key))


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


BAD_RESULTS = [
    (set_result("test/last", "91.5"), "test/last: Input should be a valid number"),
    (set_result("test/last", float("nan")), "test/last: Input should be"),
    (set_result("test/last", 1e300), "test/last: Input should be less than or equal to 100"),
    (set_result("test/last", True), "test/last: Input should be a valid number"),
    (set_result("test/last", -1), "test/last: Input should be greater than or equal to 0"),
    (drop_result("test/last"), "test/last: Field required"),
    (drop_result("seconds"), "seconds: Field required"),
    (set_result("seconds", float("inf")), "seconds: Input should be"),
    (set_result("parameters", 1.5), "parameters: Input should be a valid integer"),
    (set_result("plugins", [3]), "plugins: Input should be a valid dictionary"),
    (lambda folder: change(folder, "result", lambda row: row.pop("result")), "result: Field required"),
    (lambda folder: change(folder, "result", lambda row: row.update(result=[1])), "result: Input should be"),
    (write("metrics.jsonl", b"\xff\x00\n{}\n"), "line 1: not a JSON object"),
    (write("metrics.jsonl", b"[" * 100_000 + b"\n{}\n"), "line 1: not a JSON object"),
]


@pytest.mark.parametrize(("damage", "says"), BAD_RESULTS, ids=[says for _, says in BAD_RESULTS])
def test_a_run_whose_result_is_none_is_left_out_of_a_suite_and_refused_alone(
    write_suite, damage, says
) -> None:
    folder = write_suite(EVERYTHING)
    damage(folder / "jobs/run-1-0")
    page = write_report(folder).read_text()
    results = read_results(folder)
    (line,) = results.left_out
    assert line.startswith("The run jobs/run-1-0 is left out: ")
    assert says in line
    assert "The run jobs/run-1-0 is left out: " in page
    assert [(row.entry, row.seeds) for row in results.pairs[0].rows] == [("kd", (1,)), ("baseline", (0, 1))]
    assert results.unfinished == 0
    with pytest.raises(KdzooError, match=r"metrics\.jsonl") as caught:
        write_report(folder / "jobs/run-1-0")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_without_an_accuracy_cannot_be_compared(write_suite) -> None:
    folder = write_suite(EVERYTHING)
    set_result("test/last", None)(folder / "jobs/run-1-0")
    (line,) = read_results(folder).left_out
    assert line == (
        "The run jobs/run-1-0 is left out: kd, seed 0: no test accuracy, so there is nothing to compare"
    )


def test_a_suite_of_which_nothing_is_left_is_refused(write_suite) -> None:
    folder = write_suite({"baseline": [90.0], "kd": [None]})
    set_result("test/last", "x")(folder / "jobs/run-0-0")
    with pytest.raises(
        KdzooError, match=r"no run of the suite has a result .* jobs/run-0-0 is left out: .*test/last"
    ):
        write_report(folder)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (write("provenance.json", b"{}"), "provenance.json: machine: Field required"),
        (write("provenance.json", b"\xff"), "provenance.json: "),
        (write("provenance.json", b"[" * 100_000), "provenance.json: "),
        (write("provenance.json", b'{"machine": {"device": []}}'), "provenance.json: machine.device: "),
        (lambda folder: (folder / "provenance.json").unlink(), "provenance.json: No such file"),
        (write("recipe.yaml", b"\xff\xfe"), "recipe.yaml: not a text file"),
        (lambda folder: (folder / "recipe.yaml").unlink(), "recipe.yaml: No such file"),
        (lambda folder: change(folder, "start", lambda row: row.update(recipe={"x": 1})), "start: recipe"),
        (lambda folder: change(folder, "start", lambda row: row.update(job="x")), "row 1: start: job: "),
        (lambda folder: change(folder, "epoch", lambda row: row.pop("metrics")), "row 2: epoch: metrics: "),
        (lambda folder: change(folder, "epoch", lambda row: row.update(epoch="x")), "row 2: epoch: epoch: "),
        (
            lambda folder: change(folder, "epoch", lambda row: row.update(epoch=10**30)),
            "row 2: epoch: epoch: ",
        ),
    ],
)
def test_what_the_result_does_not_depend_on_is_left_out_of_a_runs_report(
    tmp_path, write_run, write_suite, damage, says
) -> None:
    write_run(tmp_path / "run", 91.25)
    damage(tmp_path / "run")
    text = write_report(tmp_path / "run").read_text()
    assert says in text.replace("&#39;", "'")
    assert "91.25 %" in text
    folder = write_suite(EVERYTHING)
    damage(folder / "jobs/run-1-0")
    write_report(folder)
    assert read_results(folder).left_out == ()


def test_metrics_that_no_figure_can_show_are_not_drawn(tmp_path, write_run) -> None:
    write_run(tmp_path / "run", 91.25)
    values = iter(["x", None, True, 1e300, float("nan"), [1]])
    change(tmp_path / "run", "epoch", lambda row: row["metrics"].update({"train/task": next(values)}))
    text = write_report(tmp_path / "run").read_text()
    assert "train/teach" in text
    assert "train/task" not in text


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (SUITE_FILE, b"{}", "suite: Field required"),
        (SUITE_FILE, b"\xff\xfe", "Invalid JSON"),
        (SUITE_FILE, b"[" * 100_000, "Invalid JSON"),
        (TUNING_FILE, b'[{"entry": 3}]', "0.entry: Input should be a valid string"),
    ],
)
def test_a_damaged_ledger_is_refused_by_name(write_suite, file, content, says) -> None:
    folder = write_suite(EVERYTHING)
    (folder / file).write_bytes(content)
    with pytest.raises(KdzooError, match=file) as caught:
        write_report(folder)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_folder_is_one_line(tmp_path) -> None:
    for folder in (tmp_path / "gone", tmp_path / ("a" * 300)):
        with pytest.raises(KdzooError, match="neither the folder of a suite"):
            write_report(folder)


@pytest.mark.parametrize("place", ["../../elsewhere", "ABSOLUTE", "jobs/link"])
def test_a_ledger_names_no_run_outside_of_its_folder(tmp_path, write_suite, write_run, place) -> None:
    write_run(tmp_path / "elsewhere", 99.0)
    folder = write_suite(EVERYTHING)
    (folder / "jobs/link").symlink_to(tmp_path / "elsewhere")
    ledger = json.loads((folder / SUITE_FILE).read_text())
    ledger["runs"][0]["folder"] = str(tmp_path / "elsewhere") if place == "ABSOLUTE" else place
    (folder / SUITE_FILE).write_text(json.dumps(ledger))
    results = read_results(folder)
    assert "leads out of the folder" in results.left_out[0]
    assert 99.0 not in [row.last.mean for row in results.pairs[0].rows]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../secret.png", "leads out of the folder"),
        ("/etc/passwd", "leads out of the folder"),
        ("pictures/../../secret.png", "leads out of the folder"),
        ("pictures/link.png", "leads out of the folder"),
        ("pictures/text.png", "not a PNG"),
        ("a\0b", "leads out of the folder"),
        ("x" * 5000, None),
        ("pictures", None),
        (3, "picture: path: Input should be a valid string"),
    ],
)
def test_a_picture_is_a_png_in_the_runs_own_folder(tmp_path, write_run, path, says) -> None:
    folder = tmp_path / "run"
    write_run(folder, 91.25)
    (folder / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    (folder / "pictures/link.png").symlink_to(tmp_path / "secret.png")
    (folder / "pictures/text.png").write_text("secret")
    with (folder / "metrics.jsonl").open("a") as journal:
        journal.write(json.dumps({"event": "picture", "name": "it", "path": path, "epoch": 1}) + "\n")
    text = write_report(folder).read_text()
    assert "<img" not in text
    assert "![" not in (folder / "report.md").read_text()
    assert says is None or says in text


def test_the_time_of_a_teacher_is_read_in_the_cache_alone(
    tmp_path, write_suite, write_run, monkeypatch
) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    for place in ("cache/teachers/a", "elsewhere/a"):
        (tmp_path / place).parent.mkdir(parents=True)
        write_run(tmp_path / place, 97.0)
    folder = write_suite(EVERYTHING)
    for place, seconds in (("cache/teachers/a", 8.0), ("elsewhere/a", None)):
        for run in (folder / "jobs").iterdir():
            set_result("teacher_path", str(tmp_path / place / "student"))(run)
        assert read_results(folder).pairs[0].teacher_seconds == seconds
