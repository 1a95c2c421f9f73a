"""Roles that a scheme declares: shown, filled in, accepted by flags and suites, and named in the card."""

import json
from pathlib import Path

import pytest
import yaml

from kdzoo.api import DeclaredRole, Scheme
from kdzoo.bench.planner import Planner
from kdzoo.errors import KdzooError
from kdzoo.recipe.layers import Layer, parse_set
from kdzoo.registry.load import load_registry
from kdzoo.registry.model import Suite
from kdzoo.registry.resolve import resolve
from kdzoo.registry.roles import unused_teacher
from kdzoo.zoo import Zoo
from tests.conftest import Install

SOURCE = '''
from pathlib import Path
from pydantic import NonNegativeInt
from kdzoo.api import Algorithm, DeclaredRole, Phase, Scheme, hookimpl


class Assistants(Scheme):
    """A teacher, assistants and a student in a row; each learns from the one before it."""

    name = "assistants"
    kind = "offline"

    def __init__(self, assistants: NonNegativeInt = 1, own: bool = False) -> None:
        self.assistants = [f"assistant{number}" for number in range(1, assistants + 1)]
        self.own = own

    def declared_roles(self):
        yield DeclaredRole("teacher", "frozen; teaches the first assistant", default="test_resnet")
        for role in self.assistants:
            yield DeclaredRole(role, "learns, then teaches", default={"model": "test_vit", "drop_path": 0.1})
        if self.own:
            yield DeclaredRole("student", "learns from the last assistant", default="test_efficientnet")
        else:
            yield DeclaredRole("judge", "is needed")

    def enroll(self, run):
        run.enroll("student", run.build("student"))
        for role in self.assistants:
            run.enroll(role, run.build(role), student=False)
        run.enroll("teacher", run.build("teacher"), learns=False)

    def arrows(self, run):
        chain = ["teacher", *self.assistants, "student"]
        return list(zip(chain[1:], chain[:-1]))


class InTurn(Algorithm):
    """Every network of the row in turn."""

    name = "in-turn"

    def phases(self, run):
        for role in [*(one for one in run.roles if one.startswith("assistant")), "student"]:
            def step(batch, role=role):
                losses = dict((lesson.student, loss) for lesson, loss in run.taught(batch))
                loss = losses[role] + (run.task(role, batch) if role == "student" else 0)
                run.update(loss, role, "knowledge")
                return {"loss": loss}

            yield Phase(role, run.data.train, step, 1, validate=False)
            if role != "student":
                run.enroll(role, run.roles[role], learns=False)


@hookimpl
def kdzoo_schemes():
    return {"assistants": "kdzoo_row:Assistants"}


@hookimpl
def kdzoo_algorithms():
    return {"in-turn": "kdzoo_row:InTurn"}


@hookimpl
def kdzoo_registry():
    return {
        "methods": {
            "row": {
                "title": "In a row",
                "category": "response",
                "package": "kdzoo-row",
                "knowledge": "kd",
                "scheme": {"name": "assistants", "own": True},
                "algorithm": "in-turn",
            }
        }
    }
'''


@pytest.fixture
def zoo(install: Install) -> Zoo:
    install("kdzoo-row", SOURCE)
    return Zoo()


def resolved(zoo: Zoo, *assign: str, method: str = "row", **more):
    layers = [Layer("--set", parse_set(assign))]
    return resolve(zoo=zoo, registry=load_registry(zoo), method=method, layers=layers, **more)


def models(recipe) -> dict[str, str]:
    return {role: config.model for role, config in recipe.roles.items()}


def test_defaults_are_written_into_the_recipe(zoo):
    recipe = resolved(zoo)
    assert models(recipe) == {
        "teacher": "test_resnet",
        "assistant1": "test_vit",
        "student": "test_efficientnet",
    }, "a scheme with a student of its own needs no --student"
    assert recipe.roles["assistant1"].drop_path == 0.1
    assert set(resolved(zoo, "scheme.assistants=3").roles) >= {"assistant1", "assistant2", "assistant3"}


def test_what_the_recipe_says_wins_over_the_default(zoo):
    role = resolved(zoo, "roles.assistant1.model=test_resnet").roles["assistant1"]
    assert (role.model, role.drop_path) == ("test_resnet", None), "the keys are those of another network"
    assert resolved(zoo, "roles.assistant1=test_resnet").roles["assistant1"].model == "test_resnet"
    role = resolved(zoo, "roles.assistant1.img_size=32").roles["assistant1"]
    assert (role.model, role.drop_path, role.img_size) == ("test_vit", 0.1, 32)


@pytest.mark.parametrize(
    ("assign", "says"),
    [
        ("scheme.own=false", r"a recipe needs the role 'student': pass --student MODEL"),
        ("scheme.assistants=-1", r"--set: scheme.assistants \(assistants\): .* not -1"),
        ("roles.assistant1.modle=x", "unknown key 'roles.assistant1.modle'; did you mean"),
        (
            "roles.asistant1=test_vit",
            "unknown role 'asistant1' of scheme 'assistants' with algorithm 'in-turn'; did you mean assistant1",
        ),
        ("roles.assistant2=test_vit", "unknown role 'assistant2' .* did you mean assistant1"),
    ],
)
def test_errors(zoo, assign, says):
    with pytest.raises(KdzooError, match=says):
        resolved(zoo, assign)


def test_a_number_more_is_known_where_it_is_declared(zoo):
    assert "assistant2" in resolved(zoo, "scheme.assistants=2", "roles.assistant2=test_resnet").roles


def test_a_run_that_was_begun_goes_on_whatever_it_names_besides(zoo):
    assert "asistant1" in resolved(zoo, "roles.asistant1=test_vit", resuming=True).roles


@pytest.mark.parametrize(
    ("method", "says"),
    [("byot", ["method 'byot' has no teacher: test_resnet is not used"]), ("kd", []), ("row", [])],
)
def test_a_teacher_without_a_part_is_said(zoo, method, says):
    given = [Layer("--teacher", {"roles": {"teacher": "test_resnet", "student": "test_vit"}})]
    recipe = resolve(zoo=zoo, registry=load_registry(zoo), method=method, layers=given)
    assert unused_teacher(recipe, given, zoo) == says


def test_online_peers_have_no_teacher_but_may_all_have_one_network(zoo):
    peers = ("roles.student=test_vit", "roles.teacher=test_resnet", "roles.peer=test_efficientnet")
    recipe = resolved(zoo, *peers, method="dml")
    assert models(recipe)["peer"] == "test_efficientnet", "a number is left out for all of them"
    assert unused_teacher(recipe, [Layer("--set", parse_set(peers))], zoo)


def test_a_role_without_a_default_is_asked_for(zoo):
    given = ("scheme.own=false", "roles.student=test_vit")
    with pytest.raises(KdzooError) as error:
        resolved(zoo, *given)
    assert str(error.value) == (
        "scheme 'assistants' needs a network for the role 'judge' (is needed): pass --roles.judge=MODEL"
    )
    assert "judge" in resolved(zoo, *given, "roles.judge=test_vit").roles


def test_other_schemes_get_nothing(zoo):
    kd = ("roles.teacher=test_resnet", "roles.student=test_vit")
    assert set(resolved(zoo, *kd, method="kd").roles) == {"teacher", "student"}
    given = resolved(zoo, *kd, "roles.assistant1=test_vit", method="kd", spare=["assistant1"])
    assert set(given.roles) == {"teacher", "student"}


def test_a_declaration_that_is_none_breaks_the_plugin(install):
    install("kdzoo-row", SOURCE.replace('yield DeclaredRole("judge", "is needed")', 'yield "judge"'))
    with pytest.raises(
        KdzooError, match=r"scheme 'assistants' of kdzoo-row .*'judge', which is no DeclaredRole"
    ):
        resolved(Zoo(), "scheme.own=false")


def test_a_default_that_is_wrong_names_the_scheme(install):
    install("kdzoo-row", SOURCE.replace('"drop_path": 0.1', '"drop_paht": 0.1'))
    with pytest.raises(
        KdzooError, match=r"the default of scheme 'assistants': unknown key 'roles.assistant1.drop_p"
    ):
        resolved(Zoo())


def test_what_is_required():
    assert DeclaredRole("x", "y").required
    assert not DeclaredRole("x", "y", like="teacher").required
    assert not DeclaredRole("x", "y", default="resnet18").required
    assert not DeclaredRole("x", "y", optional=True).required
    assert Scheme.declared_roles(None) == ()


PAIR = {"teacher": {"model": "test_resnet", "checkpoint": "w.pth"}, "student": "test_vit"}


def test_a_pair_names_further_roles_for_the_methods_that_have_them(zoo, tmp_path):
    suite = Suite.model_validate(
        {
            "pairs": [{**PAIR, "roles": {"assistant1": {"model": "test_resnet", "img_size": 32}}}],
            "methods": ["kd", "row"],
            "seeds": [0],
        }
    )
    planner = Planner("mini", suite, output=tmp_path, zoo=zoo, registry=load_registry(zoo))
    recipes = {run.entry.method: run.task.recipe for run in planner.plan().runs}
    assert models(recipes["row"])["assistant1"] == "test_resnet"
    assert recipes["row"].roles["assistant1"].img_size == 32
    assert set(recipes["kd"].roles) == {"teacher", "student"}
    assert set(recipes["baseline"].roles) == {"student"}


def test_a_pair_with_a_role_that_no_method_has_is_refused(zoo, tmp_path):
    suite = Suite.model_validate(
        {"pairs": [{**PAIR, "roles": {"asistant2": "test_vit"}}], "methods": ["kd"], "seeds": [0]}
    )
    with pytest.raises(
        KdzooError, match=r"unknown role in suite mini, pair .*: 'asistant2'; did you mean assistant1"
    ):
        Planner("mini", suite, output=tmp_path, zoo=zoo, registry=load_registry(zoo))


@pytest.mark.parametrize(
    ("assign", "says"),
    [
        ("roles.asistant1=test_vit", "unknown role in --set: 'asistant1'; did you mean assistant1"),
        ("roles.student=5", "--set: roles.student: .* not 5"),
        ("roles=5", "--set: roles: .* not 5"),
    ],
)
def test_a_role_that_a_suite_is_given_wrong(zoo, tmp_path, assign, says):
    suite = Suite.model_validate({"pairs": [PAIR], "methods": ["kd"], "seeds": [0]})
    layers = [Layer("--set", parse_set([assign]))]
    with pytest.raises(KdzooError, match=says):
        Planner("mini", suite, output=tmp_path, zoo=zoo, registry=load_registry(zoo), layers=layers).plan()


def test_a_suite_hands_a_role_to_the_methods_that_have_it(zoo, tmp_path):
    suite = Suite.model_validate({"pairs": [PAIR], "methods": ["kd", "row"], "seeds": [0]})
    layers = [Layer("--set", parse_set(["roles.assistant1=test_resnet"]))]
    planner = Planner("mini", suite, output=tmp_path, zoo=zoo, registry=load_registry(zoo), layers=layers)
    recipes = {run.entry.method: run.task.recipe for run in planner.plan().runs}
    assert models(recipes["row"])["assistant1"] == "test_resnet"
    assert set(recipes["kd"].roles) == {"teacher", "student"}


def test_from_show_to_the_card(install, kdzoo, tmp_path):
    install("kdzoo-row", SOURCE)
    shown = kdzoo("show", "row").out
    assert "  assistant1 = test_vit: learns, then teaches\n" in shown
    assert shown.rstrip().endswith("kdzoo distill --method row"), "every role has a default"
    rows = {one["role"]: one for one in json.loads(kdzoo("show", "row", "--json").out)["roles"]}
    assert (rows["assistant1"]["model"], rows["assistant1"]["needed"]) == ("test_vit", False)

    small = ("--train-per-class", "2", "--test-per-class", "1", "-b", "10", "--set", "observers=[]", "-q")
    run = ("distill", "--method", "row", "--output", tmp_path / "run", "--roles.teacher.epochs=1", *small)
    answer = kdzoo(*run, "--roles.assistant1=test_resnet", "--roles.teacher=test_vit")
    assert answer.code == 0, answer.err
    recipe = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert recipe["roles"]["assistant1"]["model"] == "test_resnet"
    card = Path(tmp_path / "run" / "student" / "README.md").read_text()
    assert "\n# test\\_efficientnet, distilled from test\\_resnet\n" in card, "the assistant taught it"
    assert "| network of the role teacher | test\\_vit |" in card
