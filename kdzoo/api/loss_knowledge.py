"""An existing loss as a Knowledge: a function, or a module of another library."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal, get_type_hints

from torch import Tensor, nn

from kdzoo.api.batch import Batch, Output
from kdzoo.api.knowledge import Knowledge
from kdzoo.api.maps import pool_to_smaller
from kdzoo.api.precision import at_least_float32
from kdzoo.api.run import Run
from kdzoo.api.taps import Taps
from kdzoo.errors import KdzooError


class LossKnowledge(Knowledge):
    """A loss that takes the student's tensor, the teacher's, and perhaps the labels.

    The hyper-parameters come from the loss's signature: the arguments of a function after the tensors, or those of a
    module's ``__init__``. An argument without a type gets that of its default. To give them ranges, write an
    ``__init__`` in the subclass that passes them to ``super().__init__``.
    """

    loss: ClassVar[Any]
    """A function ``(student, teacher) -> loss``, a class of ``nn.Module`` that is called so (an instance is made for
    each arrow), or an instance of one (each arrow has a copy). The loss is (B,) or a scalar."""

    on: ClassVar[Literal["logits", "embedding"] | int] = "logits"
    """The compared tensors: logits (B, K), embeddings (B, D), or the maps (B, C, H, W) of a stage, such as -1;
    0 is the last map."""

    target: ClassVar[bool] = False
    """Whether the labels are the third argument: (B,) class ids, or (B, K) probabilities where the data are mixed.
    Samples without a label are left out of the batch first."""

    project: ClassVar[bool] = True
    """Whether the student's embedding or map goes through a learned linear layer or 1x1 convolution if its channels
    differ from the teacher's. If False, such a pair is refused."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        says = cls.__dict__.keys() & {"loss", "target"}
        if "target" in cls.__dict__:
            cls.needs_labels = cls.target
        if says and hasattr(cls, "loss") and "__init__" not in cls.__dict__:
            cls.__init__ = _constructor(cls)  # type: ignore[method-assign]  # its signature is the loss's

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        declared = _declared(type(self))
        if isinstance(declared, nn.Module):
            self.function: Callable[..., Any] = copy.deepcopy(declared)
        elif _is_class(declared):
            self.function = declared(**settings)
        else:
            self.function = functools.partial(declared, **settings)
        if self.on == "embedding":
            self.taps = Taps(embedding=True)
        elif self.on != "logits":
            self.taps = Taps((self.on,))
        self.projection: nn.Module = nn.Identity()

    def build(self, student: Output, teacher: Output, run: Run) -> None:
        """Make the projection, if the two networks' channels differ.

        Raises:
            KdzooError: they differ and the loss is not to be projected, or is on logits.
        """
        ours, theirs = self._compared(student).shape[1], self._compared(teacher).shape[1]
        if ours == theirs:
            return
        if self.on == "logits" or not self.project:
            what = "classes" if self.on == "logits" else "channels"
            raise KdzooError(
                f"knowledge {self.name!r} compares tensors of one size; the student has {ours} {what}, the teacher "
                f"{theirs}"
            )
        self.projection = nn.Linear(ours, theirs) if self.on == "embedding" else nn.Conv2d(ours, theirs, 1)

    def forward(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """(B,) or a scalar, as the loss returns it.

        Raises:
            KdzooError: it returns something else, or labels are missing.
        """
        mine, theirs = self._compared(student), self._compared(teacher)
        if mine.ndim == 4:
            mine, theirs = pool_to_smaller(mine, theirs)
        ours: Tensor = self.projection(mine)
        if not self.target:
            return self._checked(self.function(ours, theirs), len(ours))
        if batch.target is None:
            raise KdzooError(f"knowledge {self.name!r} needs labels, and this batch has none")
        known = batch.labelled
        if bool(known.all()):
            return self._checked(self.function(ours, theirs, batch.target), len(ours))
        if not bool(known.any()):
            return ours.sum() * 0
        loss = self._checked(self.function(ours[known], theirs[known], batch.target[known]), int(known.sum()))
        if loss.ndim == 0:
            return loss
        return loss.new_zeros(len(ours)).masked_scatter(known, loss)

    def _compared(self, output: Output) -> Tensor:
        """The tensor that is compared, in float32 at least."""
        if self.on == "logits":
            return at_least_float32(output.logits)
        return at_least_float32(output.embedded if self.on == "embedding" else output.features[0])

    def _checked(self, loss: Any, samples: int) -> Tensor:
        if isinstance(loss, Tensor) and loss.shape in ((), (samples,)):
            return loss
        shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise KdzooError(
            f"the loss of knowledge {self.name!r} must be ({samples},), one for each sample, or a scalar, not {shape}"
        )


def _declared(cls: type[LossKnowledge]) -> Any:
    """The loss as the class names it, whether or not it is marked as static; what is none is refused."""
    found = inspect.getattr_static(cls, "loss", None)
    found = found.__func__ if isinstance(found, staticmethod) else found
    if not callable(found):
        raise KdzooError(f"{cls.__name__}.loss must be a function or an nn.Module, not {found!r}")
    return found


def _is_class(declared: Any) -> bool:
    """Whether it makes the loss instead of being it: a class, or a partial of one."""
    return isinstance(_origin(declared), type)


def _origin(declared: Any) -> Any:
    """What a partial is one of."""
    while isinstance(declared, functools.partial):
        declared = declared.func
    return declared


def _constructor(cls: type[LossKnowledge]) -> Callable[..., None]:
    """An ``__init__`` whose keyword arguments are the loss's hyper-parameters, with the docstring of the loss."""

    def __init__(self: LossKnowledge, **settings: Any) -> None:
        LossKnowledge.__init__(self, **settings)

    declared = _declared(cls)
    taken = [] if isinstance(declared, nn.Module) else list(_settings(declared, 2 + cls.target))
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    __init__.__signature__ = inspect.Signature([itself, *taken])  # type: ignore[attr-defined]  # inspect reads it
    __init__.__annotations__ = {one.name: one.annotation for one in taken}
    if "Args:" not in (cls.__doc__ or ""):
        __init__.__doc__ = _documentation(_origin(declared))
    return __init__


def _documentation(declared: Any) -> str | None:
    """The first docstring that describes arguments: its own, its ``__init__``'s, or those of its parents."""
    owners = declared.__mro__ if _is_class(declared) else (declared,)
    texts = [
        inspect.cleandoc(one.__doc__)
        for owner in owners
        for one in (owner, vars(owner).get("__init__"))
        if one is not None and one.__doc__
    ]
    return next((text for text in texts if "Args:" in text), texts[0] if texts else None)


def _settings(declared: Any, tensors: int) -> Iterator[inspect.Parameter]:
    """The arguments of a class, or those of a function behind its first ``tensors``, as typed keyword arguments."""
    origin = _origin(declared)
    try:
        hints = get_type_hints(origin.__init__ if _is_class(declared) else origin, include_extras=True)
    except NameError:  # what only a type checker imports
        hints = {}
    behind = 0 if _is_class(declared) else tensors
    for one in list(inspect.signature(declared).parameters.values())[behind:]:
        if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            annotation = hints.get(one.name) or _type_of(one.default)
            yield one.replace(kind=one.KEYWORD_ONLY, annotation=annotation)


def _type_of(default: Any) -> Any:
    """What an argument without a type takes: what its default is; a whole number may stand for a real one."""
    if type(default) is int:
        return int | float
    return type(default) if isinstance(default, bool | float | str) else Any
