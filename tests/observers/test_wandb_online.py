import json
import socket
from pathlib import Path

from .loopback_wandb import ENTITY, LoopbackWandb
from .wandb_child import COLUMNS, JOB, RECIPE, ROWS
from .wandb_sandbox import KEY, Sandbox, of_type, rows


def online(server: LoopbackWandb, **more: str) -> dict[str, str]:
    return {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, **more}


def test_all_of_a_run_arrives(sandbox: Sandbox, tmp_path: Path):
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    (teacher / "model.safetensors").write_bytes(b"weights of the teacher")
    with LoopbackWandb() as server:
        env = online(server, WANDB_PROJECT="shop", WANDB_ENTITY=ENTITY)
        err = sandbox.play(epochs=[1, 2, 3], teacher=teacher, leaderboard=True, **env)
    assert err == ""
    run, board = server.runs.values()

    assert run.project == "shop"
    assert run.entity == ENTITY
    assert run.name == JOB.name
    assert run.group == JOB.suite
    assert run.job_type == JOB.kind
    assert run.tags == JOB.tags
    assert {key: run.config[key] for key in RECIPE} == RECIPE
    assert run.step_metric == {"*": "epoch"}
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 3]
    assert [row["train/task"] for row in run.history[:3]] == [1, 1 / 2, 1 / 3]
    picture = run.history[3]["curve"]
    assert picture["_type"] == "image-file"
    assert run.files[picture["path"]] == (sandbox.folder / "curve.png").read_bytes()
    assert run.summary["test/last"] == 83.25
    assert run.exit_code == 0
    assert "output.log" not in run.files, "the console is not captured"
    for name, weights in (
        ("kd-big-small-0", b"weights of the student"),
        ("teacher-big", b"weights of the teacher"),
    ):
        artifact = server.artifacts[name]
        assert artifact.type == "model"
        assert artifact.metadata == {"data": "d1", "teachers": {"teacher": "e2"}, "student": "f3"}
        assert artifact.files["model.safetensors"] == weights
        assert "model.safetensors" in artifact.manifest["contents"]
        assert artifact.committed
    data = server.artifacts["data-photographs"]
    assert (data.type, data.metadata) == ("dataset", {"data": "d1"})
    assert json.loads(data.files["data.json"]) == {"hash": "d1"}
    made = {name for name, one in server.artifacts.items() if one.run == run.id}
    used = {name for name, one in server.artifacts.items() if one.used_by == run.id}
    assert (made, used) == ({"kd-big-small-0"}, {"teacher-big", "data-photographs"}), "W&B's lineage"

    assert board.group == JOB.suite
    assert board.job_type == "leaderboard"
    table = json.loads(board.files[board.history[0]["leaderboard"]["path"]])
    assert table == {"columns": COLUMNS, "data": ROWS}
    assert board.exit_code == 0
    assert all(one.committed for one in server.artifacts.values())
    assert not any(path.exists() for path in (sandbox.home / ".netrc", sandbox.home / ".config"))


def test_a_resumed_run_goes_on_in_the_same_wandb_run(sandbox: Sandbox):
    with LoopbackWandb() as server:
        sandbox.play(epochs=[1, 2], end="failed", **online(server))
        (run,) = server.runs.values()
        assert run.exit_code == 1
        sandbox.play(epochs=[3], resumed=True, **online(server))
    assert list(server.runs.values()) == [run]
    assert [row["epoch"] for row in run.history] == [1, 2, 3, 3]
    assert [row["_step"] for row in run.history] == [0, 1, 2, 3]
    assert run.exit_code == 0


def test_without_a_network_a_run_with_a_key_is_offline_after_one_warning(sandbox: Sandbox):
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{port.getsockname()[1]}"
    err = sandbox.play(
        epochs=[1, 2], leaderboard=True, WANDB_BASE_URL=nobody, WANDB_API_KEY=KEY, WANDB_HTTP_TIMEOUT="1"
    )
    warnings = err.splitlines()
    assert len(warnings) == 2  # one for the run, one for the leaderboard
    assert all(nobody in line and "offline" in line for line in warnings)
    logged = {}
    for log in sandbox.logs():
        records = sandbox.records(log)
        logged[of_type(records, "run")[0]["job_type"]] = rows(records)
    assert [row["epoch"] for row in logged[JOB.kind]] == [1, 2, 2]
    assert [row["leaderboard.nrows"] for row in logged["leaderboard"]] == [len(ROWS)]


def test_a_server_that_never_sets_up_the_run_is_given_up(sandbox: Sandbox):
    with LoopbackWandb(hang={"UpsertBucket"}) as server:
        err = sandbox.play(epochs=[1, 2], **online(server, WANDB_INIT_TIMEOUT="2"))
    (warning,) = err.splitlines()
    assert "offline" in warning
    (log,) = [one for one in sandbox.logs() if one.name.startswith("offline")]
    assert [row["epoch"] for row in rows(sandbox.records(log))] == [1, 2, 2]


def test_a_network_that_goes_away_costs_no_row_and_the_rest_can_be_uploaded_later(sandbox: Sandbox):
    with LoopbackWandb() as server:
        limits = {"WANDB_FINISH_TIMEOUT": "2", "WANDB_HTTP_TIMEOUT": "1"}
        process = sandbox.start(epochs=[1, 2], end="asked", **online(server, **limits))
        assert process.stdout
        process.stdout.readline()
    err = sandbox.finish(process, say="\n")
    networks, rest = err.splitlines()
    assert "artifacts" in networks
    assert "wandb sync --include-online" in rest
    (log,) = sandbox.logs()
    records = sandbox.records(log)
    assert [row["epoch"] for row in rows(records)] == [1, 2, 2]
    assert of_type(records, "exit")

    with LoopbackWandb() as back:
        back.runs = server.runs
        sandbox.wandb(*rest.split("upload the rest by: wandb ")[1].split(), **online(back))
    (run,) = back.runs.values()
    assert [row["epoch"] for row in run.history] == [1, 2, 2]
    assert run.exit_code == 0


def test_online_without_a_login_warns_and_is_offline(sandbox: Sandbox):
    (warning,) = sandbox.play(epochs=[1], end="failed", WANDB_MODE="online").splitlines()
    assert "wandb login" in warning
    assert [log.name.split("-")[0] for log in sandbox.logs()] == ["offline"]


def test_a_server_that_does_not_answer_what_was_used_costs_one_line(sandbox: Sandbox, tmp_path: Path):
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    (teacher / "model.safetensors").write_bytes(b"weights of the teacher")
    with LoopbackWandb(hang={"ArtifactByID"}) as server:
        err = sandbox.play(epochs=[1, 2], teacher=teacher, **online(server, WANDB_FINISH_TIMEOUT="4"))
    (warning,) = err.splitlines()
    assert "not logged as artifacts" in warning
    (run,) = server.runs.values()
    assert [row["epoch"] for row in run.history] == [1, 2, 2]
    assert run.exit_code == 0
    assert server.artifacts["kd-big-small-0"].committed
