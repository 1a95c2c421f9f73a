"""What waits for what, and what is submitted together."""

from pathlib import Path
from typing import Any

import pytest

from kdzoo.api.observer import Job
from kdzoo.bench.executors.arrays import Array, arrays
from kdzoo.bench.executors.config import ClusterConfig
from kdzoo.bench.executors.submitit_queue import dependencies, read_queue
from kdzoo.bench.task import Task
from kdzoo.recipe.identity import Identity
from kdzoo.recipe.model import Recipe

RECIPE = Recipe.model_validate(
    {
        "kdzoo": "0",
        "scheme": "offline",
        "algorithm": "distill",
        "roles": {"student": {"model": "test_vit"}},
    }
)


def task(key: str, *after: str, **more: Any) -> Task:
    return Task(key, RECIPE, Path(key), Job(key), Identity({}), 1, after=frozenset(after), **more)


def shown(found: list[Array]) -> list[tuple[list[list[str]], list[str]]]:
    return [([[one.key for one in pack] for pack in array.packs], sorted(array.needs)) for array in found]


TEACHERS = [task("t1", teaches="teacher"), task("t2", teaches="teacher")]
PLAIN = [task("base"), task("a1", "t1"), task("a2", "t2"), task("b1", "t1")]


def test_each_array_waits_for_what_its_tasks_need_and_nothing_else() -> None:
    assert shown(arrays([*TEACHERS, *PLAIN])) == [
        ([["t1"], ["t2"], ["base"]], []),
        ([["a1"], ["b1"]], ["t1"]),
        ([["a2"]], ["t2"]),
    ]


def test_a_limit_of_the_suite_makes_one_array_of_each_level() -> None:
    assert shown(arrays([*TEACHERS, *PLAIN], by_level=True)) == [
        ([["t1"], ["t2"], ["base"]], []),
        ([["a1"], ["a2"], ["b1"]], ["t1", "t2"]),
    ]


def test_what_has_ended_is_not_waited_for_and_what_is_queued_is() -> None:
    assert shown(arrays(PLAIN, TEACHERS[:1])) == [
        ([["base"], ["a2"]], []),
        ([["a1"], ["b1"]], ["t1"]),
    ]


def test_packs_and_arrays_have_their_sizes() -> None:
    many = [task(str(number)) for number in range(7)]
    assert shown(arrays(many, per_job=2, most=3)) == [
        ([["0", "1"], ["2", "3"], ["4", "5"]], []),
        ([["6"]], []),
    ]


def test_one_task_records_a_teachers_answers_before_the_others_replay_them() -> None:
    sharing = [
        task("a", "t1", shares="s"),
        task("b", "t1", shares="s", embeddings=True),
        task("c", "t1", shares="s"),
        task("d", shares="other"),
    ]
    assert shown(arrays([TEACHERS[0], *sharing])) == [
        ([["t1"], ["d"]], []),
        ([["b"]], ["t1"]),
        ([["a"], ["c"]], ["b", "t1"]),
    ]
    # recorded by a run that is done; and by one that is under way
    assert shown(arrays(sharing[:3], recorded={"s": True})) == [([["a"], ["b"], ["c"]], [])]
    assert shown(arrays([sharing[0], sharing[2]], [sharing[1]])) == [([["a"], ["c"]], ["b"])]
    # logits alone are no help to one that reads embeddings
    assert shown(arrays(sharing[1:2], sharing[:1])) == [([["b"]], [])]


def test_a_dependency_names_few_jobs_by_themselves_and_many_by_their_array() -> None:
    many = [f"7_{number}" for number in range(33)]
    assert dependencies(["3_1", "3_4", "5", "3_1", *many]) == ["3_1", "3_4", "5", "7"]


QUEUE = """\
12_3|kdzoo-quick-0a0a0a0a0a0a|RUNNING|node7|2026-11-27T21:04:05|2026-11-27T22:04:05|None
12_4|kdzoo-quick-0a0a0a0a0a0a|PENDING||N/A|N/A|Dependency
13|kdzoo-quick-0b0b0b0b0b0b|PENDING||N/A|N/A|Priority
14|kdzoo-quick-0c0c0c0c0c0c|COMPLETED|node7|2026-11-27T21:04:05|2026-11-27T22:04:05|None
15|somebody|RUNNING|node7|2026-11-27T21:04:05|2026-11-27T22:04:05|None
"""


def test_the_queue_as_slurm_writes_it() -> None:
    first, second, third = read_queue(QUEUE)
    assert (first.id, first.batch, first.index, first.running) == ("12_3", "0a0a0a0a0a0a", 3, True)
    assert (first.node, first.since, first.until) == ("node7", "2026-11-27T21:04:05", "2026-11-27T22:04:05")
    assert (second.index, second.running, second.reason, second.since) == (4, False, "Dependency", "")
    assert (third.batch, third.index, third.running) == ("0b0b0b0b0b0b", 0, False)


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        (90, 90),
        ("90", 90),
        ("1:30", 2),
        ("1:30:00", 90),
        ("2-12", 3600),
        ("2-12:30", 3630),
        ("1-00:00:01", 1441),
    ],
)
def test_times_as_slurm_writes_them(written: int | str, minutes: int) -> None:
    assert ClusterConfig.model_validate({"time": written}).time == minutes
