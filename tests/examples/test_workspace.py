"""The workspace of W&B: what would be sent names the suite's runs and figures that runs have."""

import runpy
import warnings
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "wandb_workspace.py"


def test_the_workspace_has_the_runs_of_the_suite_by_method() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wandb-workspaces is written for older versions of pydantic
        pytest.importorskip("wandb_workspaces")
        sent = runpy.run_path(str(EXAMPLE))["workspace"]("me", "kdzoo", "quick")._to_model().model_dump()
    section = sent["spec"]["section"]
    (runs,) = section["run_sets"]
    filters = [(one["key"]["name"], one["op"], one["value"]) for one in runs["filters"]["filters"]]
    assert filters == [("group", "=", "quick"), ("jobType", "!=", "leaderboard")]
    assert [one["name"] for one in runs["grouping"]] == ["method.value"]
    charts = [panel for part in section["panel_bank_config"]["sections"] for panel in part["panels"]]
    metrics = {name for chart in charts for name in chart["config"].get("metrics") or []}
    assert {"test/last", "val/accuracy", "train/task", "train/teach", "seconds"} <= metrics
