"""Rows of a journal, logged to a wandb run. Runs in the process of :mod:`kdzoo.observers.wandb_process`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

from kdzoo.files import write_text
from kdzoo.observers.wandb_client import limit
from kdzoo.observers.wandb_networks import data_name
from kdzoo.observers.wandb_run import FINISH_SECONDS, close_run, open_run, warn

RUN_ID = "wandb-run-id.txt"
"""The file in a run's folder that holds the id of its wandb run, for a resume."""


_LONGEST_ALERT = 500
_PARTS = 4
"""One use of an artifact may take this part of the time for the last uploads."""


class LoggedRun:
    """A wandb run, opened with the row ``start`` of a journal.

    Args:
        start: the row, with ``folder``, the run's, and ``into``, where wandb's files go.
    """

    def __init__(self, start: Mapping[str, Any]) -> None:
        self._folder = Path(start["folder"])
        kept, job = self._folder / RUN_ID, start["job"]
        run_id = kept.read_text(encoding="utf-8").strip() if start["resumed"] and kept.exists() else None
        self.run = open_run(
            Path(start["into"]),
            name=job["name"],
            group=job["suite"],
            job_type=job["kind"],
            tags=job["tags"],
            config=start["recipe"],
            run_id=run_id,
        )
        self._data = data_name(start["recipe"])
        write_text(kept, self.run.id + "\n")
        self.run.define_metric("*", step_metric="epoch")

    def log(self, row: Mapping[str, Any]) -> None:
        """Log another row."""
        match row["event"]:
            case "epoch":
                self.run.log({**row["metrics"], "epoch": row["epoch"]})
            case "picture":
                self._log_picture(row)
            case "result":
                self.run.summary.update(row["result"])
                self._log_networks(row["networks"])
            case "failed" if row.get("error"):
                self._alert(str(row["error"]))

    def finish(self, exit_code: int) -> None:
        """End the run."""
        close_run(self.run, exit_code)

    def _alert(self, error: str) -> None:
        """Tell who asked W&B for alerts that the run failed."""
        try:
            self.run.alert("A run of kdzoo failed", error[:_LONGEST_ALERT], level="ERROR")
        except Exception as wrong:  # the run must end as failed whatever becomes of its alert
            warn(f"no alert was sent ({wrong})")

    def _log_picture(self, row: Mapping[str, Any]) -> None:
        import wandb

        try:
            picture = wandb.Image(str(self._folder / row["path"]))
        except Exception as error:
            # A picture that cannot be read must not lose the metrics.
            warn(f"the picture {row['path']} is not logged ({error})")
            return
        self.run.log({row["name"]: picture, "epoch": row["epoch"]})

    def _log_networks(self, networks: Mapping[str, tuple[str, str]]) -> None:
        """The student as an artifact that the run made, its teacher and its data as those that it used.

        Networks are read where they lie, also by a later upload. An offline run can only make artifacts.
        """
        import wandb

        lineage = _lineage(self._folder)
        try:
            for role, (name, path) in networks.items():
                artifact = wandb.Artifact(name, type="model", metadata=lineage)
                add = artifact.add_dir if Path(path).is_dir() else artifact.add_file
                add(path, policy="immutable", skip_cache=True)
                if role == "student" or self.run.offline:
                    self.run.log_artifact(artifact)
                else:
                    self._use(artifact)
            if not self.run.offline and (data := lineage.get("data")):
                artifact = wandb.Artifact(self._data, type="dataset", metadata={"data": data})
                with artifact.new_file("data.json", mode="w") as file:
                    json.dump({"hash": data}, file)
                self._use(artifact)
        except ConnectionError:  # wandb-core is gone, and all of the run with it
            raise
        except Exception as error:
            # A failed upload of the networks must not lose the metrics; the networks are safe in their folders.
            warn(f"the networks are not logged as artifacts; they are in their folders ({error})")

    def _use(self, artifact: Any) -> None:
        """Say that the run used it. wandb waits for the server, without a limit; here the run's end comes first."""
        done: Future[object] = Future()

        def use() -> None:
            try:
                done.set_result(self.run.use_artifact(artifact))
            except Exception as error:
                done.set_exception(error)

        Thread(target=use, daemon=True).start()
        try:
            done.result(limit("WANDB_FINISH_TIMEOUT", FINISH_SECONDS) / _PARTS)
        except TimeoutError:
            raise RuntimeError("the server does not answer") from None


def _lineage(folder: Path) -> dict[str, Any]:
    """By which data and which teachers a run's networks are known: the hashes in its ``provenance.json``."""
    try:
        found = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        teachers = {role: one["hash"] for role, one in found["teachers"].items()}
        return {"data": found["data"]["hash"], "teachers": teachers, "student": found["student_hash"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # the networks are logged without it
        return {}


def log_table(row: Mapping[str, Any]) -> Any:
    """Log a table in a wandb run of its own and return that run, not ended yet."""
    import wandb

    folder, suite = Path(row["folder"]), row["suite"]
    run = open_run(folder, name=f"{suite} leaderboard", group=suite, job_type="leaderboard", tags=[suite])
    run.log({"leaderboard": wandb.Table(columns=row["columns"], data=row["rows"], allow_mixed_types=True)})
    return run
