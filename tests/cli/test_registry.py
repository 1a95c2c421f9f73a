"""Additional registries from a file or a URL; they cannot replace existing entries."""

import http.server
import json
import threading

import pytest

from kdzoo.bench.suite import open_suite
from kdzoo.registry.load import load_registry

MORE = """
methods:
  kd-hot:
    title: KD at 20
    category: response
    package: kdzoo-response
    summary: Very soft targets.
    knowledge: {name: kd, temperature: 20.0}
suites:
  hot:
    data: {dataset: digits, train_per_class: 4, test_per_class: 2, val_fraction: 0.0, batch_size: 16}
    pairs: [{teacher: {model: test_resnet, epochs: 1}, student: test_resnet}]
    methods: [kd-hot]
    seeds: [0]
    epochs: 1
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "more.yaml"
    path.write_text(MORE)
    return path


@pytest.fixture
def url(tmp_path, file):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given, **named):
            super().__init__(*given, directory=str(tmp_path), **named)

        def log_message(self, *given): ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/more.yaml"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("place", ["file", "url"])
def test_its_methods_are_listed_and_shown(place, request, kdzoo):
    where = request.getfixturevalue(place)
    listed = json.loads(kdzoo("list", "--json", "--registry", where).out)
    assert "kd-hot" in {row["method"] for row in listed["methods"]}
    assert "hot" in listed["suites"]
    shown = kdzoo("show", "kd-hot", "--registry", where)
    assert (shown.code, "Very soft targets." in shown.out) == (0, True)
    assert kdzoo("show", "kd-hot").code == 2


@pytest.mark.slow
def test_its_suite_stands_in_a_leaderboard_with_where_each_method_came_from(
    file, kdzoo, tmp_path, monkeypatch
):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    answer = kdzoo(
        "bench",
        "hot",
        "--registry",
        file,
        "--output",
        tmp_path / "suite",
        "--workers",
        1,
        "--json",
        "--quiet",
    )
    assert answer.code == 0, answer.err
    (pair,) = json.loads(answer.out)["pairs"]
    sources = {row["entry"]: row["source"] for row in pair["rows"]}
    assert sources["kd-hot"].startswith("kdzoo-response 0.")
    assert sources["baseline"].startswith("kdzoo 0.")
    assert "kdzoo-response 0." in (tmp_path / "suite" / "report.md").read_text().replace("\\", "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (MORE.replace("kd-hot:", "kd:"), "the method 'kd' is already in the registry"),
        (MORE.replace("hot:\n    data", "quick:\n    data"), "the suite 'quick' is already in the registry"),
        (MORE.replace("category: response", "category: Magic!"), "methods.kd-hot.category"),
        ("[\n", "line 2: not YAML"),
        (
            MORE.replace("kd-hot:", "../../../escaped:"),
            "methods.../../../escaped: String should match pattern",
        ),
        (MORE.replace("kd-hot:", "/etc/cron.d/x:"), "methods./etc/cron.d/x: String should match pattern"),
        (MORE.replace("  hot:", "  ..:"), "suites...: String should match pattern"),
        (MORE.replace("  hot:", f"  {'a' * 300}:"), "String should have at most 100 characters"),
        (
            MORE.replace("kdzoo-response", "--index-url=http://x"),
            "methods.kd-hot.package: String should match",
        ),
        (MORE.replace("seeds: [0]", "seeds: []"), "suites.hot.seeds: Tuple should have at least 1 item"),
        (MORE + "methods: {}\n", "methods: the key is there twice, first in line 2"),
        (
            MORE.replace("20.0", "!!python/name 20.0"),
            "line 8: methods.kd-hot.knowledge.temperature: not YAML",
        ),
    ],
)
def test_what_does_not_fit_is_refused(file, kdzoo, content, says):
    file.write_text(content)
    answer = kdzoo("list", "--registry", file)
    assert answer.code == 2
    assert says in answer.err
    assert "more.yaml" in answer.err


@pytest.mark.parametrize(
    "place",
    ["nowhere.yaml", "~no-such-user/more.yaml", "http://127.0.0.1:9/more.yaml", "ftp://127.0.0.1/more.yaml"],
)
def test_what_cannot_be_read_is_named(kdzoo, place):
    answer = kdzoo("list", "--registry", place)
    assert (answer.code, place in answer.err) == (2, True)
    assert answer.err.count("\n") == 1


def test_the_folder_of_a_suite_from_a_file_is_one_below_runs(file, tmp_path):
    suite = MORE.split("  hot:\n")[1]
    for name in ("...yaml", "quick.yaml"):
        (tmp_path / name).write_text(suite)
        found, _ = open_suite(str(tmp_path / name), load_registry())
        assert (tmp_path / found).resolve().parent == tmp_path.resolve()
