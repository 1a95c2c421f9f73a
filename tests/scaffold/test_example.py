"""The example package with something for every hook: from its wheel to its removal, in an environment of its own."""

import json
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "kdzoo-stripes"


@pytest.mark.slow
@pytest.mark.timeout(900)  # a dozen processes, one of which runs every check of the kit
def test_it_is_installed_used_checked_and_gone(environment):
    environment.pip("install", environment.build(EXAMPLE))

    plugins = json.loads(environment.kdzoo("plugins", "--json"))
    (plugin,) = [one for one in plugins if one["distribution"] == "kdzoo-stripes"]
    assert plugin["state"] == "ok"
    assert plugin["warning"] is None
    assert "(from kdzoo-stripes)" in environment.kdzoo("--help")
    assert "stripes_net  (from kdzoo-stripes)" in environment.kdzoo("list", "--backbones", "stripes")
    assert "regression" in {row["category"] for row in methods(environment)}

    environment.kdzoo("stripes", "sheet.png", "--angles", "3")
    assert (environment.folder / "sheet.png").stat().st_size > 0

    run = environment.folder / "run"
    short = ("--epochs", "1", "--teacher-epochs", "1", "--set", "observers=[]", "--output", run)
    environment.kdzoo(
        "distill", "--method", "logit-and-map-distance", "--teacher", "test_resnet", "--student", "stripes_net",
        "--dataset", "stripes", "--set", "data.options.angles=3", *short,
    )  # fmt: skip
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert 0 <= rows[-1]["result"]["test/last"] <= 100
    assert "kdzoo-stripes" in json.loads((run / "provenance.json").read_text())["plugins"]

    assert "no findings" in environment.kdzoo("check", "kdzoo-stripes")
    environment.pytest(
        EXAMPLE / "tests", "-W", "error", "--import-mode=importlib", "--rootdir", environment.folder,
        "-k", "not conformance",
    )  # fmt: skip

    environment.pip("uninstall", "kdzoo-stripes")
    assert "kdzoo-stripes" not in environment.kdzoo("plugins", "--json")
    assert "stripes" not in environment.kdzoo("list", "--json")
    assert "unknown command 'stripes'" in environment.kdzoo("stripes", "sheet.png", code=2)
    for flags, says in (
        (("--dataset", "stripes", "--student", "test_resnet"), "unknown data set 'stripes'"),
        (("--student", "stripes_net"), "unknown timm model 'stripes_net'"),
    ):
        assert says in environment.kdzoo("distill", "--method", "baseline", *flags, code=2)


def methods(environment):
    return json.loads(environment.kdzoo("list", "--json"))["methods"]
