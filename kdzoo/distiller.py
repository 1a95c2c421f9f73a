"""Distillation inside somebody else's training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, NoReturn, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from kdzoo.api.batch import Batch
from kdzoo.api.network import check_timm
from kdzoo.backbone import Backbone
from kdzoo.builtin.distill import Distill
from kdzoo.builtin.offline import Offline
from kdzoo.engine.components import algorithm_of, knowledge_of, scheme_of
from kdzoo.engine.networks import Networks
from kdzoo.engine.run import TrainingRun
from kdzoo.errors import KdzooError
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo


class Distiller(nn.Module):
    """A method's losses for one batch; the loop, the optimizer and the data stay yours.

    Images are what your student expects, normalised by you. The teacher is frozen and in eval mode; the
    student's mode is yours to set, as always. ``parameters()`` are the student's and the connectors', and
    nothing of the teacher's.

    Args:
        student: a timm model.
        teacher: a timm model with the same classes, or without a classifier (``num_classes=0``) for methods that read
            its features alone.
        method: a method of the registry whose scheme has one frozen teacher and one student.
        example: (B, C, H, W) images, B >= 2, that fix the connectors' shapes; default: zeros of the student's
            own input size.
        settings: further keys, dotted: ``{"knowledge.temperature": 2.0}``.
        renormalize: give the teacher the images with its own mean and std, where timm states other ones for it than
            for the student; False gives both networks the same tensor.

    Raises:
        KdzooError: unknown method, a method with another scheme or algorithm, unequal class counts, a single
            output, a network that is not timm's.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        method: str,
        *,
        example: Tensor | None = None,
        settings: Mapping[str, Any] | None = None,
        renormalize: bool = False,
    ) -> None:
        super().__init__()
        self._arguments = {"method": method, "settings": settings, "renormalize": renormalize}
        zoo = Zoo()
        roles = {"roles": {"student": "student", "teacher": "teacher"}, "observers": []}
        layers = [Layer("Distiller", roles), Layer("settings", dotted(settings or {}))]
        recipe = resolve(zoo=zoo, registry=load_registry(zoo), method=method, layers=layers)
        if recipe.scheme.name != Offline.name or recipe.algorithm.name != Distill.name:
            raise KdzooError(
                f"method {method!r} has the scheme {recipe.scheme.name!r} and the algorithm "
                f"{recipe.algorithm.name!r}; a Distiller gives losses for one frozen teacher and one student: "
                f"run this method with kdzoo distill"
            )
        self.student = student
        self.method = method
        weights = algorithm_of(recipe, zoo)
        assert isinstance(weights, Distill)
        self.task_weight, self.teach_weight = weights.task_weight, weights.teach_weight
        check_timm(student, teacher)
        if example is None:
            config: Any = student.pretrained_cfg
            example = torch.zeros(2, *config["input_size"])
        self._shape = tuple(example.shape)
        self._checked = False
        size = (example.shape[-2], example.shape[-1])
        own, other = _Given(student, input_size=size), _Given(teacher, input_size=size)
        if renormalize:
            other.renormalise(own)
        if 1 in (own.num_classes, other.num_classes):
            raise KdzooError(
                "a network with one output has no classes to tell apart; a Distiller takes two outputs or more, one "
                "label for each image"
            )
        if own.num_classes != other.num_classes and own.num_classes and other.num_classes:
            raise KdzooError(
                f"the student has {own.num_classes} classes, the teacher has {other.num_classes}"
            )
        device = next(student.parameters()).device
        fabric, data = _fabric(device), _NoData()
        networks = _Networks(recipe, data, device, lambda role, config: None)
        run = TrainingRun(recipe, data, fabric, scheme_of(recipe, zoo), knowledge_of(recipe, zoo), networks)
        mode, frozen = student.training, [one for one in student.parameters() if not one.requires_grad]
        run.enroll("student", own)
        run.enroll("teacher", other, learns=False)
        student.train(mode)
        for parameter in frozen:
            parameter.requires_grad_(False)
        self._run = [run]  # in a list, so that its modules are not registered as ours
        run.prepare(self._batch(example.to(next(student.parameters())), None))
        run.end_step()
        self.connectors = nn.ModuleList(role.module for role in run.connectors.values())

    def forward(
        self, images: Tensor, target: Tensor | None = None, progress: float = 0.0
    ) -> dict[str, Tensor]:
        """The losses of one batch, as scalars.

        Args:
            images: (B, C, H, W), normalised.
            target: (B,) class ids or (B, K) probabilities that sum to 1; None = unlabelled.
            progress: where training stands in [0, 1], for methods that warm up.

        Returns:
            ``task``, ``teach``, their weighted sum ``total``, and the student's ``logits`` (B, K), or its
            ``embedding`` (B, D) if it has no classifier.

        Raises:
            KdzooError: targets of another form, such as several labels for an image; or the student has no classifier
                and there are targets.
        """
        run, batch = self._run[0], self._batch(images, target, progress)
        if target is not None:
            self._check(target)
        teach = run.teach(batch)
        task = run.task("student", batch)
        output = run.see("student", batch)
        run.end_step()
        total = self.task_weight * task + self.teach_weight * teach
        shown = {"logits": output.logits} if output.has_logits else {"embedding": output.embedded}
        return {"task": task, "teach": teach, "total": total, **shown}

    def _check(self, target: Tensor) -> None:
        """Refuse targets that are neither class ids nor probabilities, whose sums are checked in the first batch."""
        if target.is_floating_point() and target.ndim == 2:
            wrong = not self._checked and bool(((target.sum(1) - 1).abs() > 0.01).any())
            self._checked = True
            if not wrong:
                return
            what = "rows that do not sum to 1, as several labels for an image have"
        elif target.ndim == 1 and not target.is_floating_point():
            return
        else:
            what = f"{str(target.dtype).removeprefix('torch.')} of shape {tuple(target.shape)}"
        raise KdzooError(
            f"targets are (B,) class ids, or (B, K) probabilities that sum to 1, one label for each image; not {what}"
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Distiller:
        """Move or convert the teacher as well."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own is untyped
        run = self._run[0]
        for module in run.roles.values():
            module._apply(fn)  # type: ignore[no-untyped-call]  # as above
        device = next(self.student.parameters()).device
        if device != run.device:
            run.move(_fabric(device))
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Distiller:
        """Copies of both networks and of the connectors; what random numbers come next is not copied."""
        roles = self._run[0].roles
        student, teacher = (
            deepcopy(cast(Backbone, roles[role]).model, memo) for role in ("student", "teacher")
        )
        given = torch.zeros(self._shape)
        copy = type(self)(student, teacher, **self._arguments, example=given)  # type: ignore[arg-type]  # as it was made
        copy.to(next(self.student.parameters()).dtype)
        copy.connectors.load_state_dict(self.connectors.state_dict())
        memo[id(self)] = copy.train(self.training)
        for ours, theirs in zip(self.modules(), copy.modules(), strict=True):
            theirs.training = ours.training
        return copy

    def _batch(self, images: Tensor, target: Tensor | None, progress: float = 0.0) -> Batch:
        index = torch.full((images.shape[0],), -1, device=images.device)
        return Batch(index, {"image": images}, target, progress)


def _fabric(device: torch.device) -> Fabric:
    return Fabric(accelerator=device.type, devices=1 if device.index is None else [device.index])


class _Given(Backbone):
    """Images come normalised, for it or for another network, in the size that the network is to see."""

    scale: tuple[Tensor, Tensor] | None = None

    def renormalise(self, other: Backbone) -> None:
        """Images come normalised for ``other``."""
        self.scale = other.std / self.std, (other.mean - self.mean) / self.std

    def prepare(self, image: Tensor) -> Tensor:
        """With its own mean and std in place of the other's."""
        if self.scale is None:
            return image
        factor, shift = (one.to(image) for one in self.scale)
        return image * factor + shift


class _NoData:
    """The data are the user's: a knowledge that needs to know about them cannot be used here."""

    def _refuse(self) -> NoReturn:
        raise KdzooError("this method must know the training set; run it with kdzoo distill")

    train = val = test = classes = channels = img_size = names = labels = property(_refuse)

    def select(self, index: Tensor) -> NoReturn:
        self._refuse()

    def fetch(
        self, index: Tensor, view: int | None = 0, weak: bool = False, epoch: int | None = None
    ) -> NoReturn:
        self._refuse()


class _Networks(Networks):
    """The networks are the user's."""

    def config(self, role: str, like: str | None = None) -> NoReturn:
        raise KdzooError(f"this method builds the network {role!r} by itself; run it with kdzoo distill")
