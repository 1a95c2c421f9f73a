"""Distillation inside somebody else's training loop."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.api.batch import Batch
from kdzoo.engine.components import algorithm_of
from kdzoo.errors import KdzooError
from kdzoo.loops.begin import begin, fabric_of
from kdzoo.loops.inputs import Images, by_modality
from kdzoo.loops.training_set import TrainingSet
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import find_method, load_registry
from kdzoo.registry.model import Registry
from kdzoo.registry.resolve import resolve
from kdzoo.registry.roles import MissingRole
from kdzoo.zoo import Zoo
from kdzoo.zoo.plugin import first_line


class Distiller(nn.Module):
    """A method's losses for one batch; the loop, the optimizer and the data stay yours.

    Images are what your student expects, normalised by you. Teachers are frozen and in eval mode; the mode of the
    others is yours to set, as always. ``parameters()`` are the student's, those of what learns beside it and the
    connectors', and nothing of a teacher's. ``state_dict()`` has all that a training needs to go on exactly: these
    weights, moving averages, what the method remembers and its random generators. Take it after the optimizer's step.

    Args:
        student: a timm model, a network of :func:`kdzoo.wrap`, or any other that turns images into logits.
        teacher: another one with the same classes, or without a classifier (``num_classes=0``) for methods that read
            its features alone; several in a list are the roles ``teacher1``, ``teacher2``, ...; None for methods
            without a teacher.
        method: a method of the registry whose algorithm is one loss a step.
        example: (B, C, H, W) images, B >= 2, that fix the connectors' shapes; default: zeros of the student's
            own input size.
        settings: further keys, dotted: ``{"knowledge.temperature": 2.0}``. Methods that count epochs read ``epochs``;
            ``optim.grad_accum_steps`` says how many batches make one step of your optimizer.
        renormalize: give every network the images with its own mean and std, where timm states other ones for it
            than for the student; False gives all of them the same tensor.
        networks: further networks by role: ``{"peer1": model}``.
        data: your training set, for methods that look beyond the batch.

    Raises:
        KdzooError: unknown method, one that is more than one loss a step, a network that is missing or not used,
            unequal class counts, a single output, a network that does not answer with logits.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | Sequence[nn.Module] | None,
        method: str,
        *,
        example: Images | None = None,
        settings: Mapping[str, Any] | None = None,
        renormalize: bool = False,
        networks: Mapping[str, nn.Module] | None = None,
        data: TrainingSet | None = None,
    ) -> None:
        super().__init__()
        self._arguments: dict[str, Any] = {
            "method": method, "settings": settings, "renormalize": renormalize, "data": data
        }  # fmt: skip
        self._models = {"student": student, **_teachers(teacher), **(networks or {})}
        zoo = Zoo()
        registry = load_registry(zoo)
        roles = [*self._models, *find_method(registry, method).recipe.get("roles", ())]
        recipe = _recipe(zoo, registry, method, dict.fromkeys(roles), settings or {})
        algorithm = algorithm_of(recipe, zoo)
        if algorithm.needs_loop:
            raise KdzooError(
                f"method {method!r} is more than one loss a step: its algorithm {algorithm.name!r} "
                f"{algorithm.needs_loop}; run it with kdzoo distill"
            )
        run, first = begin(recipe, zoo, self._models, example, renormalize=renormalize, data=data)
        run.begin(algorithm, first)
        self.student = student
        self.method = method
        self.others = nn.ModuleDict(run.others())
        self.connectors = nn.ModuleList(role.module for role in run.connectors.values())
        self._run = [run]  # in a list, so that its modules are not registered as ours
        self._shapes = {name: one.shape for name, one in first.inputs.items()}
        self._data, self._checked = data, False

    def forward(
        self,
        images: Images,
        target: Tensor | None = None,
        progress: float = 0.0,
        *,
        index: Tensor | None = None,
        views: Sequence[Images] = (),
    ) -> dict[str, Tensor]:
        """The losses of one batch, as scalars.

        Args:
            images: (B, C, H, W), normalised; or one such tensor for each modality that the networks read.
            target: (B,) class ids or (B, K) probabilities that sum to 1; None = unlabelled.
            progress: where training stands in [0, 1], for methods that warm up.
            index: (B,) int64, the row of each image in the training set; needed where ``data`` was given.
            views: the same images with other augmentations, for methods that compare them.

        Returns:
            ``task``, ``teach``, what else the algorithm records, the loss to minimise as ``total``, and the student's
            ``logits`` (B, K), or its ``embedding`` (B, D) if it has no classifier.

        Raises:
            KdzooError: targets of another form, such as several labels for an image; the student has no classifier
                and there are targets; the method needs an index or views.
        """
        run, inputs = self._run[0], by_modality(images)
        if target is not None:
            self._check(target)
        size = len(next(iter(inputs.values())))
        if self._data is not None:
            index = self._data.check(index, size)
        elif index is None:
            index = torch.full((size,), -1)
        batch = Batch(index.to(run.device), inputs, target, progress)
        return run.losses(batch, [by_modality(one) for one in views], trained=self.training)

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

    def get_extra_state(self) -> Tensor:
        """What the method remembers beside the weights, as bytes that a state dict of any format can hold."""
        file = io.BytesIO()
        torch.save(self._run[0].memory(), file)
        return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse of :meth:`get_extra_state`.

        Raises:
            KdzooError: it is another method's, or damaged.
        """
        try:
            file = io.BytesIO(state.cpu().numpy().tobytes())
            memory = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # what damaged bytes raise depends on where they are read
            raise KdzooError(f"the state of the Distiller cannot be read: {first_line(error)}") from None
        self._run[0].recall(memory)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Distiller:
        """Move or convert the teacher as well."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own is untyped
        run = self._run[0]
        for module in run.roles.values():
            module._apply(fn)  # type: ignore[no-untyped-call]  # as above
        device = next(self.student.parameters()).device
        if device != run.device:
            run.move(fabric_of(device))
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Distiller:
        """Copies of all networks, of the connectors and of what the method remembers."""
        models = deepcopy(self._models, memo)
        given = {name: torch.zeros(shape) for name, shape in self._shapes.items()}
        copy = type(self)(models.pop("student"), None, networks=models, example=given, **self._arguments)
        example = next(self.student.parameters())
        copy.to(example.device, example.dtype)
        copy.load_state_dict(self.state_dict())
        memo[id(self)] = copy
        for ours, theirs in zip(self.modules(), copy.modules(), strict=True):
            theirs.training = ours.training
        return copy


def _recipe(
    zoo: Zoo, registry: Registry, method: str, roles: Mapping[str, None], settings: Mapping[str, Any]
) -> Recipe:
    """The method's recipe; the roles' names stand for their models. Missing networks are found out by its run."""
    models = {"roles": {role: {"model": role} for role in roles}, "observers": []}
    layers = [Layer("Distiller", models), Layer("settings", dotted(settings))]
    try:
        return resolve(zoo=zoo, registry=registry, method=method, layers=layers)
    except MissingRole as missing:
        return _recipe(zoo, registry, method, {**roles, missing.role: None}, settings)


def _teachers(given: nn.Module | Sequence[nn.Module] | None) -> dict[str, nn.Module]:
    if given is None:
        return {}
    if isinstance(given, nn.Module):
        return {"teacher": given}
    return {f"teacher{number}": one for number, one in enumerate(given, start=1)}
