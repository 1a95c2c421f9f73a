"""Who owns a folder, between processes, between machines, and after their death."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kdzoo.errors import KdzooError
from kdzoo.owner import NotOwner, Owner

CHILD = Path(__file__).with_name("owned.py")
ELSEWHERE = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
"""Another name of the machine: for kdzoo, another machine that sees the same files."""


def command(mode: str, folder: Path, how: str = "flock") -> list[str]:
    return [sys.executable, str(CHILD), mode, how, str(folder)]


@contextmanager
def owner_in_another_process(folder: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([*before, *command("hold", folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "mine\n"
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.fixture
def elsewhere() -> list[str]:
    if sys.platform != "linux":
        pytest.skip("needs namespaces of Linux")
    if subprocess.run([*ELSEWHERE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to name a machine in a namespace")
    return ELSEWHERE


@pytest.fixture
def stale_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDZOO_STALE_SECONDS", "0.6")


def foreign(folder: Path, **more: object) -> Path:
    """The file of an owner on another machine."""
    with Owner(folder).held():
        told = json.loads((folder / ".owner").read_text())
    file = folder / ".owner"
    file.write_text(json.dumps({**told, "machine": "another", "host": "node7", "token": "x", **more}))
    return file


def test_a_second_owner_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    with owner_in_another_process(tmp_path) as child:
        with pytest.raises(KdzooError, match=rf": process {child.pid} on \S+, since 20.* writes this folder"):
            Owner(tmp_path).take()
        assert {path.name for path in tmp_path.iterdir()} == {".owner"}


def test_who_was_killed_on_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    with owner_in_another_process(tmp_path) as child:
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # nobody has taken note of its end yet
        owner = Owner(tmp_path)
        owner.take()
        assert owner.note is None
        owner.release()
    assert not any(tmp_path.iterdir())


def test_a_number_that_another_process_has_by_now_is_no_owner(tmp_path: Path) -> None:
    with Owner(tmp_path).held():
        told = json.loads((tmp_path / ".owner").read_text())
    (tmp_path / ".owner").write_text(json.dumps({**told, "pid": os.getppid(), "start": "1"}))
    Owner(tmp_path).take()


def test_who_lives_on_another_machine_is_not_replaced(
    tmp_path: Path, elsewhere: list[str], stale_soon: None
) -> None:
    with (
        owner_in_another_process(tmp_path, *elsewhere),
        pytest.raises(KdzooError, match="on elsewhere, since"),
    ):
        Owner(tmp_path).take()


def test_who_was_killed_on_another_machine_is_replaced_when_it_is_not_heard_of(
    tmp_path: Path, elsewhere: list[str], stale_soon: None
) -> None:
    with owner_in_another_process(tmp_path, *elsewhere) as child:
        child.kill()
        child.wait()
        owner = Owner(tmp_path)
        began = time.monotonic()
        owner.take()
        assert time.monotonic() - began >= 0.6
        assert f"process {child.pid} on elsewhere, since" in (owner.note or "")
        assert (owner.note or "").endswith("was not heard of for 0.6 s: taken over")
        owner.release()


def test_a_file_of_another_machine_that_does_not_change(tmp_path: Path, stale_soon: None) -> None:
    foreign(tmp_path)
    with Owner(tmp_path).held() as note:
        assert note is not None
        assert "on node7" in note


def test_a_file_of_another_machine_that_changes(tmp_path: Path, stale_soon: None) -> None:
    file, ended = foreign(tmp_path), threading.Event()

    def live() -> None:
        while not ended.wait(0.1):
            os.utime(file)

    beats = threading.Thread(target=live)
    beats.start()
    try:
        with pytest.raises(KdzooError, match="on node7"):
            Owner(tmp_path).take()
        told: list[str] = []
        assert not Owner(tmp_path).await_turn(told.append, seconds=1.0)
        assert len(told) == 1
        assert told[0].endswith("makes it; waiting")
    finally:
        ended.set()
        beats.join()


@pytest.mark.parametrize("content", ["", "rubbish", "[]", '{"pid": -1}', "\x00" * 10_000])
def test_a_file_that_is_none_of_ours(tmp_path: Path, content: str, stale_soon: None) -> None:
    (tmp_path / ".owner").write_text(content)
    with Owner(tmp_path).held() as note:
        assert note is not None
        assert "another process was not heard of" in note


def test_what_a_file_names_is_shown_in_one_line(tmp_path: Path, stale_soon: None) -> None:
    foreign(tmp_path, host="a\nkdzoo: all is well" + "x" * 500)
    with Owner(tmp_path).held() as note:
        assert note is not None
        assert "\n" not in note
        assert len(note) < 300 + len(str(tmp_path))


def check_for_a_while(owner: Owner) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        owner.check()
        time.sleep(0.05)


def test_who_was_replaced_although_it_lives_learns_it(tmp_path: Path, stale_soon: None) -> None:
    owner = Owner(tmp_path)
    owner.take()
    owner.check()
    other = tmp_path / "other"
    other.mkdir()
    os.replace(foreign(other), tmp_path / ".owner")
    with pytest.raises(NotOwner, match=r"on node7, since .* has taken it over"):
        check_for_a_while(owner)
    owner.release()
    assert json.loads((tmp_path / ".owner").read_text())["host"] == "node7", "it is not ours to remove"


@pytest.mark.parametrize("lacks", ["flock", "flock,link"])
def test_nobody_is_lost_where_many_want_it_after_a_death(tmp_path: Path, lacks: str) -> None:
    """Neither locks of the system nor, if need be, hard links."""
    (tmp_path / "number").write_text("0")
    with Owner.of(tmp_path / "number").awaited(lambda line: None):
        told = json.loads((tmp_path / "number.owner").read_text())
    (tmp_path / "number.owner").write_text(json.dumps({**told, "pid": os.getppid(), "start": "1"}))
    children = [subprocess.Popen(command("count", tmp_path, lacks)) for _ in range(4)]
    assert [child.wait(100) for child in children] == [0] * 4
    assert (tmp_path / "number").read_text() == "20"
    assert {path.name for path in tmp_path.iterdir()} == {"number"}


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf"])
def test_a_bad_number_of_seconds(tmp_path: Path, seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDZOO_STALE_SECONDS", seconds)
    with pytest.raises(KdzooError, match=r"KDZOO_STALE_SECONDS '.*': a number of seconds above 0"):
        Owner(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KdzooError, match="cannot be written: Not a directory"):
        Owner(tmp_path / "file").take()
