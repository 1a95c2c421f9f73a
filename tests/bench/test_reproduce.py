"""A published row run again, teachers that are handed on, and results that are handed in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from kdzoo.bench.ledger import read_ledger, write_ledger
from kdzoo.bench.teachers import INDEX_FILE, with_teachers
from kdzoo.cli.main import app
from kdzoo.errors import KdzooError
from kdzoo.registry.load import read_registry
from kdzoo.registry.model import Suite

REGISTRY = """
suites:
  tiny:
    data: {dataset: digits, train_per_class: 8, test_per_class: 5, batch_size: 16}
    pairs:
      - {name: big>small, teacher: {model: test_resnet, epochs: 1}, student: test_efficientnet}
    methods: [kd]
    seeds: [0, 1, 2]
    epochs: 2
    recipe: {observers: [], optim: {sched: multistep, decay_epochs: [1]}}
    settings: {kd: {knowledge.temperature: 3.0}}
    published:
      - {source: a log, statistic: best, pairs: [big>small], figures: {kd: [99.5], teacher: [50.0]}}
      - source: "a paper, table 1"
        statistic: last
        runs: 5
        pairs: [big>small]
        figures: {kd: [0.5], baseline: [9]}
"""

Call = Callable[..., Result]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("registry") / "tiny.yaml"
    file.write_text(REGISTRY)
    return file


@pytest.fixture(scope="module")
def call(registry: Path) -> Call:
    """call("bench", "tiny") -> the ended command, with the registry and one worker."""

    def run(*words: object) -> Result:
        more = () if words[:2] == ("bench", "verify") or words[0] == "show" else ("--workers", "1")
        return CliRunner().invoke(app, [*map(str, words), "--registry", str(registry), *more])

    return run


@pytest.fixture(scope="module")
def results(call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite's folder, whose teachers were trained first and handed on."""
    folder = tmp_path_factory.mktemp("results")
    first = call("bench", "tiny", "--teachers-only", "--output", folder / "teachers")
    assert first.exit_code == 0, first.output
    assert first.stdout.strip() == str(folder / "teachers" / INDEX_FILE)
    done = call("bench", "tiny", "--teachers", folder / "teachers", "--output", folder / "suite")
    assert done.exit_code == 0, done.output
    return folder


def test_the_teachers_are_those_of_the_index(results: Path, registry: Path) -> None:
    index = json.loads((results / "teachers" / INDEX_FILE).read_text())
    teacher = index["pairs"]["big>small"]
    assert (index["suite"], teacher["model"]) == ("tiny", "test_resnet")
    ledger, _ = read_ledger(results / "suite")
    recipe = (results / "suite" / ledger.runs[-1].folder / "recipe.yaml").read_text()
    assert str(results / "teachers" / teacher["file"]) in recipe

    suite = read_registry(registry).suites["tiny"]
    assert with_teachers(suite, results / "teachers").pairs[0].teacher.checkpoint is not None
    for changes, line in (
        ({"name": "other>pair"}, "no teacher of the pair other>pair"),
        ({"teacher": {"model": "resnet10t"}}, "is test_resnet, the suite's resnet10t"),
    ):
        pair = {**suite.pairs[0].model_dump(exclude_unset=True), **changes}
        other = Suite.model_validate({"pairs": [pair]})
        with pytest.raises(KdzooError, match=line):
            with_teachers(other, results / "teachers")


def test_other_weights_are_refused(results: Path, registry: Path, tmp_path: Path) -> None:
    for file in (results / "teachers").iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    next(tmp_path.glob("*.safetensors")).write_bytes(b"other")
    with pytest.raises(KdzooError, match="its sha256 differs"):
        with_teachers(read_registry(registry).suites["tiny"], tmp_path)


def test_results_of_the_protocol_are_right(results: Path, call: Call) -> None:
    done = call("bench", "verify", results / "suite")
    assert (done.exit_code, done.stdout.strip()) == (0, "6 runs of tiny: nothing is wrong")
    text = (results / "suite" / "report.md").read_text()
    assert "kd: " in text
    assert "the published 0.50 % (last epoch, mean of 5 runs; a paper, table 1)" in text


def replaced(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("file", "before", "after", "line"),
    [
        ("recipe.yaml", "temperature: 3.0", "temperature: 9.0", "temperature is 9.0, in the suite 3.0"),
        ("recipe.yaml", "batch_size: 16", "batch_size: 8", "differ in data.batch_size: 8 and 16"),
        ("recipe.yaml", "seed: 0", "seed: 7", "recipe.yaml has the seed 7, the ledger 0"),
        ("metrics.jsonl", '"val/accuracy"', '"test/accuracy"', "the test split was read during training"),
        ("identity.json", '"epochs": 2', '"epochs": 3', "is not that of the folder's name"),
    ],
)
def test_what_is_wrong_is_named(
    results: Path, call: Call, tmp_path: Path, file: str, before: str, after: str, line: str
) -> None:
    import shutil

    shutil.copytree(results / "suite", tmp_path / "suite")
    ledger, _ = read_ledger(tmp_path / "suite")
    run = next(one for one in ledger.runs if (one.entry, one.seed) == ("kd", 0))
    replaced(tmp_path / "suite" / run.folder / file, before, after)
    done = call("bench", "verify", tmp_path / "suite", "--json")
    assert done.exit_code == 1
    assert any(line in one for one in json.loads(done.stdout)["found"]), done.stdout


def test_a_changed_protocol_and_few_seeds_are_named(results: Path, call: Call, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(results / "suite", tmp_path / "suite")
    ledger, tuning = read_ledger(tmp_path / "suite")
    runs = tuple(run for run in ledger.runs if run.seed < 2)
    update: dict[str, Any] = {"changed": ("epochs",), "seeds": (0, 1), "runs": runs}
    write_ledger(tmp_path / "suite", ledger.model_copy(update=update), tuning)
    found = json.loads(call("bench", "verify", tmp_path / "suite", "--json").stdout)["found"]
    assert "the command line changes the suite's protocol: epochs" in found
    assert any(one.startswith("2 seeds: at least 3") for one in found)


def test_a_row_is_run_again_with_a_verdict(results: Path, call: Call, tmp_path: Path) -> None:
    done = call(
        *("reproduce", "kd", "--pair", "big>small", "--seeds", 2, "--teachers", results / "teachers"),
        *("--output", tmp_path / "out", "--json"),
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    last, best = found["verdicts"]
    assert (last["published"], last["statistic"], last["runs"]) == (0.5, "last", 5)
    assert len(last["accuracies"]) == 2
    assert last["difference"] == pytest.approx(last["mean"] - 0.5)
    assert last["verdict"] == ("within" if abs(last["difference"]) <= last["half_width"] else "above")
    assert best["verdict"] in ("within", "below")
    assert "the published epoch may be chosen on the test split" in best["sentence"]
    ledger, _ = read_ledger(tmp_path / "out")
    assert {run.entry for run in ledger.runs} == {"kd"}


@pytest.mark.slow
def test_a_quick_run_has_no_verdict(call: Call, tmp_path: Path) -> None:
    done = call("reproduce", "kd", "--pair", "big>small", "--quick", "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    shown = " ".join(done.stdout.split())
    assert "with another protocol (epochs, optim.decay_epochs, roles.teacher.epochs)" in shown
    assert "published are 0.50 % (last epoch, mean of 5 runs; a paper, table 1): no verdict." in shown
    (run,) = read_ledger(tmp_path / "out")[0].runs
    recipe = (tmp_path / "out" / run.folder / "recipe.yaml").read_text()
    assert "epochs: 1\n" in recipe
    assert "decay_epochs: [0.5]" in recipe or "decay_epochs:\n  - 0.5" in recipe


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("reproduce", "kd", "--pair", "big>smal"),
            "unknown pair with a published accuracy of kd 'big>smal'",
        ),
        (
            ("reproduce", "label-smoothing", "--pair", "big>small"),
            "no published accuracies of label-smoothing",
        ),
        (("bench", "verify"), "missing the folder of the results"),
        (("bench", "tiny", "some-folder"), "takes no folder; name it with --output"),
        (("bench", "tiny", "--pairs", "a>b"), "unknown pair of the suite 'a>b'"),
    ],
)
def test_bad_input_is_one_line(call: Call, words: tuple[str, ...], line: str) -> None:
    done = call(*words)
    assert isinstance(done.exception, KdzooError)
    assert line in " ".join(str(done.exception).split())


def test_a_method_shows_its_published_accuracies(call: Call) -> None:
    shown = " ".join(call("show", "kd").stdout.split())
    assert "tiny, a paper, table 1: last epoch, mean of 5 runs big>small 0.50" in shown
    content = json.loads(call("show", "kd", "--json").stdout)
    assert {"value": 0.5, "pair": "big>small", "suite": "tiny"}.items() <= content["published"][-1].items()


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"pairs": ["big>small"], "figures": {"kd": [1, 2]}}, "kd has 2 figures for 1 pairs"),
        ({"pairs": ["other>pair"], "figures": {"kd": [1]}}, "the name of no pair"),
        ({"pairs": ["big>small"], "figures": {"kd": [101]}}, "less than or equal to 100"),
        (
            {"pairs": ["big>small"], "figures": {"kd": [1]}, "statistic": "mean"},
            "'last', 'best' or 'unknown'",
        ),
    ],
)
def test_figures_are_checked(registry: Path, table: dict[str, Any], line: str) -> None:
    content = read_registry(registry).suites["tiny"].model_dump(exclude_unset=True)
    with pytest.raises(ValueError, match=line):
        Suite.model_validate({**content, "published": [{"source": "x", "statistic": "last", **table}]})
