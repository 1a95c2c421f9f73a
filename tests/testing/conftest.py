"""Components that are made in a test, found in a zoo that is made for them: nothing is installed."""

import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from kdzoo.api import Algorithm, Knowledge, Lesson, Observer, Phase, Scheme, Taps, hookimpl
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Method, Registry
from kdzoo.testing import Finding, Subject, examine
from kdzoo.zoo import Zoo
from kdzoo.zoo.plugin import Plugin, installed

DISTRIBUTION = "kdzoo-made"
HOOK = {
    Knowledge: "kdzoo_knowledge",
    Scheme: "kdzoo_schemes",
    Algorithm: "kdzoo_algorithms",
    Observer: "kdzoo_observers",
}
KIND = {Knowledge: "knowledge", Scheme: "scheme", Algorithm: "algorithm", Observer: "observer"}

Examine = Callable[..., list[Finding]]


class Squares(Knowledge):
    """What schemes and algorithms teach here; it asks for a stage, as most do."""

    name = "squares"
    kind = "response"
    taps = Taps(student=(-1,))

    def forward(self, student, teacher, batch):
        return (student.logits - teacher.logits).square().mean(1)


class Pair(Scheme):
    """A frozen teacher and a student; ``spoil`` is what a wrong one does in every step."""

    name = "pair"
    kind = "offline"

    def enroll(self, run):
        run.enroll("student", run.build("student"))
        run.enroll("teacher", run.build("teacher"), learns=False)

    def arrows(self, run):
        return [("student", "teacher")]

    def lessons(self, run, batch):
        self.spoil(run)
        return [Lesson("student", "teacher")]

    def spoil(self, run):
        pass


class Plain(Algorithm):
    """The task and what is taught; ``spoil`` is what a wrong one does in every step."""

    name = "plain"

    def phases(self, run):
        def step(batch):
            teach = run.teach(batch)
            task = run.task("student", batch)
            run.update(task + teach, "student", "knowledge")
            self.spoil(run, batch)
            return {"task": task}

        yield Phase("plain", run.data.train, step, run.recipe.epochs)

    def spoil(self, run, batch):
        pass


def subject_of(
    component: type,
    *,
    method: Method | None = None,
    others: Mapping[str, Method] = {},
    beside: type[Knowledge] = Squares,
    **settings: object,
) -> Subject:
    """The component as a plugin's, beside the core's; with the method of that name, if there is one, and others.

    ``beside`` is the knowledge that a scheme or an algorithm teaches; its name is "squares".
    """
    base = next(one for one in HOOK if issubclass(component, one))
    module = ModuleType("kdzoo_made")
    module.kdzoo_knowledge = _returning("kdzoo_knowledge", beside)
    if base is Knowledge:
        module.kdzoo_knowledge = _returning("kdzoo_knowledge", component)
    else:
        setattr(module, HOOK[base], _returning(HOOK[base], component))
        if base is not Observer:
            settings = {"knowledge": "squares", **settings}
    core = [one for one in installed() if one.distribution == "kdzoo"]
    place = EntryPoint("made", "kdzoo_made", "kdzoo")
    zoo = Zoo([*core, Plugin("made", "kdzoo_made", DISTRIBUTION, "1.2.3", place, loaded=module)])
    registry = load_registry()
    if method is not None:
        registry = Registry(methods={**registry.methods, component.name: method, **others}, suites={})
    name = component.name if method is not None else None
    return Subject(zoo.find(KIND[base], component.name), zoo, registry, name, settings)


def _returning(hook: str, component: type) -> Callable[[], list[type]]:
    def found() -> list[type]:
        return [component]

    found.__name__ = hook
    return hookimpl(found)


@pytest.fixture
def found() -> Examine:
    """found(Component, "gradient") -> what that check finds in it."""

    def call(component: type, check: str, **given: object):
        return list(examine(subject_of(component, **given), only=[check]))

    return call


@pytest.fixture(scope="session", name="subject_of")
def subject_maker() -> Callable[..., Subject]:
    return subject_of


@pytest.fixture(scope="session")
def pair() -> type[Scheme]:
    return Pair


@pytest.fixture(scope="session")
def plain() -> type[Algorithm]:
    return Plain


@pytest.fixture
def described(tmp_path, monkeypatch) -> Callable[[str], None]:
    """described(text): metadata of the made distribution with that README."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(readme: str) -> None:
        info = tmp_path / "kdzoo_made-1.2.3.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: 1.2.3\n\n"
        (info / "METADATA").write_text(head + readme, encoding="utf-8")

    yield write
    sys.path_importer_cache.pop(str(tmp_path), None)
