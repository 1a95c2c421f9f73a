"""From which networks a student learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kdzoo.backbone import Backbone
from kdzoo.engine.role import Role
from kdzoo.engine.run import TrainingRun


@dataclass(frozen=True)
class Lineage:
    """The networks of a run by their models' names.

    Attributes:
        student: the exported network.
        teachers: those of the roles that taught the student.
        others: role -> network, of further roles that the recipe names.
    """

    student: str
    teachers: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)


def lineage_of(run: TrainingRun) -> Lineage:
    """The networks of a trained run, as they are enrolled at its end."""
    roster, named = run.roster, run.recipe.roles
    networks = {
        role: member
        for role, member in {**roster.replaced, **roster.members}.items()
        if role != "student" and (role in named or role.startswith("teacher")) and _is_network(member)
    }
    direct = [role for role in networks if ("student", role) in run.connectors]
    taught = direct or [role for role, member in networks.items() if not member.learns]
    models = {role: _model(run, role, member) for role, member in networks.items()}
    return Lineage(
        _model(run, "student", run.members["student"]),
        tuple(dict.fromkeys(models[role] for role in taught)),
        {role: model for role, model in models.items() if role not in taught},
    )


def _is_network(member: Role) -> bool:
    return isinstance(member.module, Backbone)


def _model(run: TrainingRun, role: str, member: Role) -> str:
    """As the recipe names it, unless that is another architecture than the role has come to have."""
    asked = run.recipe.roles[role].model if role in run.recipe.roles else None
    if not isinstance(member.module, Backbone):
        return asked or type(member.module).__name__
    same = asked is not None and (":" in asked or asked.partition(".")[0] == member.module.name)
    return asked if asked is not None and same else member.module.name
