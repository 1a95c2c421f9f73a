"""A workspace in Weights & Biases for the runs of a suite: accuracy, losses and costs, grouped by method.

    pip install wandb-workspaces
    python examples/wandb_workspace.py ENTITY PROJECT quick

Prints its address. Change the panels to your taste, here or in the browser.
"""

from __future__ import annotations

import argparse

import wandb_workspaces.reports.v2 as panels
import wandb_workspaces.workspaces as ws


def over_epochs(*metrics: str) -> list[panels.LinePlot]:
    """A chart over the epochs for each metric, one line a method: the mean over its seeds."""
    return [panels.LinePlot(title=one, x="epoch", y=[one], groupby="method") for one in metrics]


def at_the_end(*metrics: str) -> list[panels.BarPlot]:
    """A bar chart for each figure of the runs' results, one bar a method."""
    return [panels.BarPlot(title=one, metrics=[one], groupby="method") for one in metrics]


def workspace(entity: str, project: str, suite: str) -> ws.Workspace:
    """The workspace; :meth:`save` makes it in W&B."""
    sections = {
        "Accuracy": [*at_the_end("test/last", "test/macro_f1", "test/ece"), *over_epochs("val/accuracy")],
        "Losses": over_epochs("train/task", "train/teach", "lr"),
        "Costs": at_the_end("seconds", "peak_memory_mb", "latency/student_ms", "size/student/parameters"),
        "Pictures": [
            panels.MediaBrowser(media_keys=["confusion", "generated", "inverted", "accuracy-matrix"])
        ],
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"kdzoo {suite}",
        sections=[ws.Section(name=name, panels=charts, is_open=True) for name, charts in sections.items()],
        runset_settings=ws.RunsetSettings(
            filters=[ws.Metric("Group") == suite, ws.Metric("JobType") != "leaderboard"],
            groupby=[ws.Config("method")],
        ),
    )


def main() -> None:
    """Make it and print its address."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("entity", help="user or team")
    parser.add_argument("project", help="kdzoo, unless WANDB_PROJECT says otherwise")
    parser.add_argument("suite", help="the group of the runs")
    flags = parser.parse_args()
    print(workspace(flags.entity, flags.project, flags.suite).save().url)


if __name__ == "__main__":
    main()
