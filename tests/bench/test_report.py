"""The report of synthetic folders: well-formed, complete in itself, escaped, and with the right numbers."""

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from kdzoo.api import Pictured, RunEnded
from kdzoo.bench.figures import spread
from kdzoo.bench.ledger import FailedRun, read_ledger, write_ledger
from kdzoo.bench.report import write_report
from kdzoo.errors import KdzooError
from kdzoo.observers.journal import Journal, read_journal
from kdzoo.registry.published import RecordedFigure

PAIR = "test_resnet>test_efficientnet"

VOID = {"meta", "link", "br", "hr", "img", "input"}
LOADS = {"src", "srcset", "href", "xlink:href", "data", "action", "poster", "background"}
EVIL = '<script>alert("x")</script> & $\\frac{1}{2}$ |`*'


class Page(HTMLParser):
    """Checks that every element is closed in order, and collects what could be fetched or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in LOADS]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        assert not [name for name, _ in attrs if name.startswith("on")], "an event handler"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert [load for load in page.loads if not load.startswith("#") and load != "data:,"] == []
    assert not re.search(r"@import|url\((?!#)|https?:|//", "".join(text)), "something is fetched"
    assert not {"script", "iframe", "img", "object", "embed"} & set(page.tags)
    assert len(page.ids) == len(set(page.ids)), "two elements with one id"
    assert {load[1:] for load in page.loads if load.startswith("#")} <= set(page.ids), (
        "a reference to nothing"
    )
    return page


def test_a_suite(write_suite: Callable[..., Path]) -> None:
    folder = write_suite(
        {"baseline": [90.0, 91.0, 92.0], "kd": [91.0, 92.0, 93.1], "kd (tuned)": [89.0, 93.0, None]}
    )
    page = read(write_report(folder))
    text = " ".join(" ".join(page.text).split())
    assert "92.03 ± 2.61" in text  # 92.0333, s = 1.0504
    assert "+1.03 ± 0.14" in text  # 1, 1, 1.1
    assert "kd is above baseline: the 95% interval of the difference excludes 0." in text
    assert "The 95% interval includes 0 for one of the others." in text
    assert "1 of 9 planned runs have not finished" in text
    assert page.tags.count("svg") == 3 + 2  # a curve for each entry, the differences, the cost
    for wanted in (
        "knowledge.temperature=8.0",
        "chosen",
        "A Processor",
        "kdzoo bench quick",
        "2 min",
        "torch 2.15.0",
    ):
        assert wanted in text, wanted
    markdown = (folder / "report.md").read_text()
    assert "| kd | 3 | 92.03 ± 2.61 | +1.03 ± 0.14 | 92.28 ± 2.61 | 9.0 | 512 |" in markdown


def test_names_are_escaped(write_suite: Callable[..., Path]) -> None:
    failed = FailedRun(name="dkd seed 2", error="RuntimeError: no <memory> left")
    folder = write_suite(
        {"baseline": [90.0, 91.0], EVIL: [91.0, 92.0]}, suite=EVIL, summary=EVIL, failures=(failed,)
    )
    text = "".join(read(write_report(folder)).text)
    assert text.count(EVIL) >= 8  # heading, summary, table, figures, tuning, methods
    assert "RuntimeError: no <memory> left" in text
    table_row = next(
        line for line in (folder / "report.md").read_text().splitlines() if line.startswith("| &lt;")
    )
    assert "<script>" not in table_row
    assert len(re.findall(r"(?<!\\)\|", table_row)) == 9


def test_a_tuned_entry_that_is_another_one_says_so(write_suite: Callable[..., Path]) -> None:
    folder = write_suite({"baseline": [90.0, 91.0], "kd": [91.0, 92.0]})
    ledger, (tuned,) = read_ledger(folder)
    again = [run.model_copy(update={"entry": "kd (tuned)"}) for run in ledger.runs if run.entry == "kd"]
    entries = {**ledger.entries, "kd (tuned)": ledger.entries["kd"]}
    more = ledger.model_copy(update={"runs": (*ledger.runs, *again), "entries": entries})
    write_ledger(folder, more, (tuned.model_copy(update={"entry": "kd (tuned)"}),))
    assert "The best settings are those of kd," in "".join(read(write_report(folder)).text)


def test_one_seed_and_nothing_to_compare_with(write_suite: Callable[..., Path]) -> None:
    text = " ".join(read(write_report(write_suite({"baseline": [90.0], "kd": [91.0]}))).text)
    assert "With one seed the differences cannot be told from chance." in text
    assert "+1.00" in text
    assert "91.00 ±" not in text


def test_only_the_baseline(write_suite: Callable[..., Path]) -> None:
    page = read(write_report(write_suite({"baseline": [90.0, 91.0]})))
    assert "baseline has the highest mean, 90.50 %." in " ".join(page.text)
    assert page.tags.count("svg") == 2


def test_nothing_has_ended(write_suite: Callable[..., Path]) -> None:
    page = read(write_report(write_suite({"baseline": [None], "kd": [None]})))
    assert "No run is finished yet." in "".join(page.text)
    assert "svg" not in page.tags


def test_a_finished_run(tmp_path: Path, write_run: Callable[..., None]) -> None:
    write_run(tmp_path / "run", 91.25, name="kd <seed> 0")
    page = read(write_report(tmp_path / "run"))
    text = "".join(page.text)
    for wanted in (
        "kd <seed> 0",
        "91.25 %",
        "91.50 %",
        "360,000",
        "method: kd",
        "val/accuracy",
        "train/teach",
    ):
        assert wanted in text, wanted
    assert page.tags.count("svg") == 4
    assert "kd &lt;seed&gt; 0" in (tmp_path / "run" / "report.md").read_text()


def test_pictures_stand_in_the_page_and_beside_the_text(
    tmp_path: Path, write_run: Callable[..., None]
) -> None:
    folder = tmp_path / "run"
    write_run(folder, 91.25)
    (folder / "pictures").mkdir()
    journal = Journal(folder / "metrics.jsonl")
    for epoch, name in ((1, "made"), (2, "made"), (2, "gone")):
        path = folder / "pictures" / f"{name}-{epoch}.png"
        if name != "gone":
            Image.new("RGB", (4, 4), (epoch, 0, 0)).save(path)
        journal.observe(Pictured(name, path, epoch))
    result = read_journal(folder / "metrics.jsonl")[-4]["result"]
    journal.observe(RunEnded(folder, {**result, "front/size": 3.0}))
    page = write_report(folder).read_text(encoding="utf-8")
    last = base64.b64encode((folder / "pictures" / "made-2.png").read_bytes()).decode()
    assert page.count("<img ") == 1
    assert f'src="data:image/png;base64,{last}"' in page
    assert "front/size" in page
    assert "![made, epoch 2](pictures/made-2.png)" in (folder / "report.md").read_text(encoding="utf-8")


def test_figures_have_names_and_units(tmp_path: Path, write_run: Callable[..., None]) -> None:
    folder = tmp_path / "run"
    write_run(folder, 91.25)
    result = read_journal(folder / "metrics.jsonl")[-1]["result"]
    figures = {"test/top5": 99.5, "test/peer1": 80.0, "size/teacher/bytes": 12345, "latency/student_ms": 1.25}
    Journal(folder / "metrics.jsonl").observe(RunEnded(folder, {**result, **figures}))
    write_report(folder)
    text = (folder / "report.md").read_text(encoding="utf-8")
    for row in (
        "| top-5 test accuracy | 99.50 % |",
        "| test accuracy of peer1 | 80.00 % |",
        "| bytes in memory of the teacher | 12,345 |",
        "| latency for one image of the student | 1.25 ms |",
        "| parameters of the student | 360,000 |",
    ):
        assert row in text, row
    assert "top5" not in text


def test_an_unfinished_run(tmp_path: Path, write_run: Callable[..., None]) -> None:
    write_run(tmp_path / "run", None)
    text = "".join(read(write_report(tmp_path / "run")).text)
    assert "The run is not finished; it stopped after epoch 6." in text


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KdzooError, match=r"neither the folder of a suite \(suite\.json\) nor that of a run"):
        write_report(tmp_path)
    (tmp_path / "suite.json").write_text('{"suite": 3}')
    with pytest.raises(KdzooError, match=r"suite\.json: suite: "):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "placed"),
    [
        ([], []),
        ([10, 50], [10, 50]),
        ([48, 52], [45, 55]),
        ([0, 0, 0], [0, 10, 20]),
        ([100, 100], [90, 100]),
        ([40, 48, 52, 54, 90], [33.5, 43.5, 53.5, 63.5, 90]),
    ],
)
def test_labels_are_spread_without_crossing(wanted: list[float], placed: list[float]) -> None:
    assert spread(wanted, gap=10, height=100) == placed


PUBLISHED = RecordedFigure(
    suite="quick",
    method="kd",
    pair=PAIR,
    value=91.0,
    source="a paper, table 1",
    statistic="last",
    runs=5,
    differences="",
)


def test_the_tests_between_entries_are_reported(write_suite: Callable[..., Path]) -> None:
    folder = write_suite({"baseline": [88.0, 88.5, 89.0], "kd": [91.0, 91.6, 91.9], "at": [88.1, 88.3, 89.2]})
    write_report(folder)
    text = (folder / "report.md").read_text()
    assert (
        "corrected for 2 comparisons by Holm's method, at the 5% level: kd (p &lt; 0.001) is above baseline."
        in text
    )
    assert "(Tukey's test), in the order of the table: kd; at, baseline." in text
    assert "seeds to see a difference of 0.3 points" in text
    assert "measured on the validation split" in text
    assert "published" not in text
    assert "corrected for 2 comparisons" in (folder / "report.html").read_text()


def test_tuned_entries_are_compared_with_the_tuned_baseline(write_suite: Callable[..., Path]) -> None:
    folder = write_suite(
        {
            "baseline": [80.0, 80.5, 81.0],
            "kd": [83.0, 83.6, 84.0],
            "baseline (tuned)": [86.0, 86.4, 87.0],
            "kd (tuned)": [85.9, 86.5, 86.9],
        }
    )
    write_report(folder)
    text = (folder / "report.md").read_text()
    assert "baseline (tuned) and kd are above baseline: the 95% interval" in text, (
        "and kd (tuned) above neither"
    )
    assert "Tuned entries are compared with the tuned baseline" in text
    assert "baseline (tuned) (p &lt; 0.001), kd (p &lt; 0.001) are above baseline." in text
    assert "(Tukey's test), in the order of the table: baseline (tuned), kd (tuned); kd; baseline." in text
    assert "minus<br>baseline or baseline (tuned)" in (folder / "report.html").read_text()


def test_published_accuracies_are_a_column_and_a_verdict(write_suite: Callable[..., Path]) -> None:
    accuracies: dict[str, list[float | None]] = {"baseline": [88.0, 88.5], "kd": [91.0, 91.6]}
    folder = write_suite(accuracies, published=(PUBLISHED,))
    write_report(folder)
    text = (folder / "report.md").read_text()
    assert "| 91.00 (+0.30) |" in text
    assert "kd: 91.30 % at the last epoch, 2 seeds, is within the published 91.00 %" in text
    page = (folder / "report.html").read_text()
    assert "<td>91.00 (+0.30)</td>" in page
    assert "is within the published 91.00 % (last epoch, mean of 5 runs; a paper, table 1)" in page


def test_a_changed_protocol_is_not_compared(write_suite: Callable[..., Path]) -> None:
    folder = write_suite(
        {"baseline": [88.0, 88.5], "kd": [91.0, 91.6]}, published=(PUBLISHED,), changed=("epochs",)
    )
    write_report(folder)
    text = (folder / "report.md").read_text()
    assert "| 91.00 |" in text
    assert "shown and not compared: the command changes the protocol (epochs)." in text


def test_entries_are_compared_over_pairs(write_suite: Callable[..., Path]) -> None:
    folder = write_suite({"baseline": [88.0, 88.5], "kd": [91.0, 91.6], "at": [88.0, 88.4]})
    ledger, tuning = read_ledger(folder)
    again = tuple(run.model_copy(update={"pair": "other>pair"}) for run in ledger.runs)
    write_ledger(
        folder,
        ledger.model_copy(update={"pairs": (*ledger.pairs, "other>pair"), "runs": ledger.runs + again}),
        tuning,
    )
    write_report(folder)
    text = (folder / "report.md").read_text()
    assert "## Over all pairs" in text
    assert "| kd | 1.00 | +3.05 ± 0.00 | &lt; 0.001 |" in text
    assert "| baseline | 2.00 |  |  |" in text
    assert "Over all pairs" in (folder / "report.html").read_text()
