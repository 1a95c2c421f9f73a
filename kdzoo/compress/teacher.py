"""The teacher: the user's, a pretrained one, or the strongest that can be trained in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from kdzoo.backbone import find_model
from kdzoo.backbone.origin import FOLDER, TIMM, describe, origin_of
from kdzoo.compress.available import obtainable
from kdzoo.compress.candidates import build, parameters_of
from kdzoo.compress.pace import pace_of
from kdzoo.compress.request import Request
from kdzoo.compress.survey import Survey
from kdzoo.errors import KdzooError
from kdzoo.recipe.roles import RoleConfig
from kdzoo.recipe.section import Section
from kdzoo.zoo import Zoo

PRETRAINED = ("convnext_small.fb_in22k_ft_in1k", "resnet50.a1_in1k", "resnet18.a1_in1k")
SCRATCH = ("resnet50", "resnet34", "resnet18", "test_resnet")
"""Networks of increasing speed; the first is taken that can be trained in time."""

FINE_TUNED = 5e-4
"""Peak learning rate of a network that starts from weights."""

ENOUGH = 500
"""Labelled training pictures of a class from which a whole pretrained network is trained; with fewer its features are
kept and a new head is trained, which is better with few pictures."""

_EPOCHS = {"full": (3, 12), "head": (2, 20), "scratch": (8, 40)}
"""Fewest and most epochs of a teacher whose whole network or head is trained, or that has no weights."""


class Teacher(Section):
    """The teacher and what its training takes.

    Attributes:
        model: in timm.
        weights: that it starts from; None: none.
        train: what of it is trained.
        epochs: of that.
        seconds: of that, expected.
        parameters: counted.
        answer: seconds of one worker for one picture.
        mean, std: its normalisation, where its weights say one.
    """

    model: str
    weights: str | None = None
    train: Literal["never", "head", "full"] = "full"
    epochs: int = 0
    seconds: float = 0.0
    parameters: int
    answer: float
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def role(self) -> RoleConfig:
        """As a suite has it."""
        keys: dict[str, Any] = {"mean": self.mean, "std": self.std}
        keys = {name: value for name, value in keys.items() if value is not None}
        if self.weights is not None:
            keys |= {"weights": self.weights, "train": self.train}
        if self.train != "never":
            keys |= {"epochs": self.epochs}
            keys |= {"lr": FINE_TUNED} if self.weights is not None and self.train == "full" else {}
        return RoleConfig.model_validate({"model": self.model, **keys})

    def __str__(self) -> str:
        ways = {"never": "used as it is", "head": "a new head is trained", "full": "all of it is trained"}
        start = f"weights {self.weights}" if self.weights else "no weights"
        took = f" for {self.epochs} epochs" if self.train != "never" else ""
        return f"{self.model}, {self.parameters / 1e6:.1f} M parameters, {start}, {ways[self.train]}{took}"


def teacher_for(
    request: Request, survey: Survey, seconds: float, views: float, threads: int, cores: int, zoo: Zoo
) -> Teacher:
    """Choose the teacher, and how it is trained.

    Args:
        request: may name it.
        survey: the pictures.
        seconds: that its training may take, in all cores.
        views: seconds of one core for a view of a picture.
        threads: of a run of a student.
        cores: of this machine.
        zoo: whose plugins may have it.

    Raises:
        UnknownName: nobody has the model.
        KdzooError: it needs weights and has none, or cannot be trained in time.
    """
    least: list[float] = []
    for model, weights in _considered(request, survey, zoo):
        role = RoleConfig(model=model, weights=weights)
        origin = origin_of(role)
        described = describe(origin.path) if origin and origin.path and origin.path.is_dir() else {}
        own = {name: tuple(described[name]) for name in ("mean", "std") if described.get(name)}
        network = build(model, survey, zoo)
        facts: dict[str, Any] = {
            "model": model,
            "weights": weights,
            "parameters": parameters_of(network),
            **own,
        }
        if not survey.labels or (
            origin and origin.rows_for(survey.data.classes, by_number=False) is not None
        ):
            return Teacher(**facts, train="never", answer=pace_of(network, survey, threads).answer)
        whole = pace_of(network, survey, cores)
        answer = whole.answer * cores / threads
        for kind in _ways(request, survey) if weights is not None else ("scratch",):
            fewest, most = _EPOCHS[kind]
            epoch = survey.train * ((whole.answer if kind == "head" else whole.train) + views / cores)
            epoch += survey.val * whole.answer
            least.append(fewest * epoch)
            if fewest * epoch <= seconds:
                epochs = min(most, int(seconds / epoch))
                train: Literal["head", "full"] = "head" if kind == "head" else "full"
                return Teacher(**facts, train=train, epochs=epochs, seconds=epochs * epoch, answer=answer)
    raise TooSlow(min(least))


def _ways(request: Request, survey: Survey) -> tuple[str, ...]:
    """What of a pretrained teacher is trained, the most wanted first."""
    if request.teacher_train is not None:
        return (request.teacher_train,)
    return ("full", "head") if survey.labels >= ENOUGH * survey.classes else ("head",)


class TooSlow(KdzooError):
    """No teacher can be trained in time; ``seconds`` are what the fastest takes at least."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"the teacher takes at least {seconds:.0f} s")


def _considered(request: Request, survey: Survey, zoo: Zoo) -> Iterator[tuple[str, str | None]]:
    """Models with their weights, the most wanted first."""
    if request.teacher is not None:
        find_model(request.teacher, zoo)
        exported = f"{request.teacher}" if request.teacher.startswith(FOLDER) else None
        weights = request.teacher_weights or exported
        if weights is None and obtainable(request.teacher):
            weights = TIMM
        if weights is None and not survey.labels:
            raise KdzooError(
                f"the pictures have no labels, so nothing can train the teacher {request.teacher}: give it weights "
                "(--teacher-weights)"
            )
        yield request.teacher, weights
        return
    if request.teacher_weights is not None:
        raise KdzooError("--teacher-weights: of which model? pass --teacher MODEL too")
    yield from ((model, TIMM) for model in PRETRAINED if obtainable(model))
    if not survey.labels:
        raise KdzooError(
            "the pictures have no labels, and no pretrained teacher can be had here: pass --teacher MODEL "
            "--teacher-weights FILE"
        )
    yield from ((model, None) for model in SCRATCH)
