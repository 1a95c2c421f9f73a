"""What some methods must know about a training set that somebody else reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from torch import Tensor

from kdzoo.api.batch import Batch
from kdzoo.errors import KdzooError


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Your training set, for the methods that look beyond the batch.

    Attributes:
        labels: (N,) int64, the class id of each training image; -1 where there is none.
        fetch: (B,) int64 rows of the training set -> (B, C, H, W), these images with a new random augmentation,
            normalised for the student.
        classes: the names of the classes in the order of their ids; default: their numbers.
        names: (N,) a name for each training image, for methods that read a table.

    Raises:
        KdzooError: the labels have another form, or there is another number of names.
    """

    labels: Tensor
    fetch: Callable[[Tensor], Tensor] | None = None
    classes: Sequence[str] = ()
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        labels = self.labels
        if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.dtype != torch.int64:
            what = type(labels).__name__
            if isinstance(labels, Tensor):
                what = f"{str(labels.dtype).removeprefix('torch.')} of shape {tuple(labels.shape)}"
            raise KdzooError(f"the labels of a TrainingSet are an int64 tensor (N,) of class ids; not {what}")
        if self.names and len(self.names) != len(labels):
            raise KdzooError(f"a TrainingSet has {len(labels)} labels and {len(self.names)} names")

    def check(self, index: Tensor | None, size: int) -> Tensor:
        """The rows of the training set that a batch of ``size`` images says it has.

        Raises:
            KdzooError: it does not say, or they are no rows.
        """
        if index is None:
            raise KdzooError("a Distiller with a TrainingSet must know which images it sees: pass index=")
        if index.dtype != torch.int64 or index.shape != (size,):
            what = f"{str(index.dtype).removeprefix('torch.')} of shape {tuple(index.shape)}"
            raise KdzooError(
                f"index is an int64 tensor ({size},), a row of the training set for each image; not {what}"
            )
        if size and not bool(((index >= 0) & (index < len(self.labels))).all()):
            raise KdzooError(f"index has rows outside the training set of {len(self.labels)} images")
        return index


class OutsideData:
    """The data of a run whose batches come from outside: :class:`kdzoo.api.Data` as far as it is known.

    Args:
        given: the training set, if the user described it.
        example: a batch of the right shape.
        num_classes: of the student.

    """

    val = None

    def __init__(self, given: TrainingSet | None, example: Batch, num_classes: int) -> None:
        self._given = given
        self._example = example
        image = next(iter(example.inputs.values()))
        self.classes = tuple((given.classes if given else ()) or map(str, range(num_classes)))
        self.channels = {name: one.shape[1] for name, one in example.inputs.items()}
        self.img_size = image.shape[-1]
        self.train = _Train(example)
        self._batch: Batch | None = None
        self._views: Sequence[Mapping[str, Tensor]] = ()

    @contextmanager
    def present(self, batch: Batch, views: Sequence[Mapping[str, Tensor]]) -> Iterator[None]:
        """Inside, this is the batch of the step, and these are its images with other augmentations."""
        self._batch, self._views = batch, views
        try:
            yield
        finally:
            self._views = ()

    @property
    def labels(self) -> Tensor:
        """See :attr:`kdzoo.api.Data.labels`."""
        return self._described("labels").labels.to((self._batch or self._example).index.device)

    @property
    def names(self) -> Sequence[str]:
        """See :attr:`kdzoo.api.Data.names`."""
        names = self._described("names").names
        return names or tuple(map(str, range(len(self.labels))))

    @property
    def test(self) -> NoReturn:
        """Not here."""
        raise KdzooError("this method must see the test split: run it with kdzoo distill")

    def select(self, index: Tensor) -> NoReturn:
        """Not here."""
        raise KdzooError("this method goes over the training set by itself: run it with kdzoo distill")

    def fetch(
        self,
        index: Tensor,
        view: int | None = 0,
        weak: bool = False,
        epoch: int | None = None,
        auto_augment: str | None = None,
    ) -> Batch:
        """A view that came with the batch, or what the training set's own function returns.

        A strong view comes with the batch alone: the function has one augmentation, training's.

        Raises:
            KdzooError: there is neither, or the images are asked for with another augmentation than training's.
        """
        if not view or weak or epoch is not None:
            raise KdzooError(
                "this method must see training images with its own augmentation: run it with kdzoo distill"
            )
        batch = self._batch
        if batch is None:  # while connectors are built, only shapes matter
            inputs = {name: one[: len(index)] for name, one in self._example.inputs.items()}
            return replace(self._example, index=index, inputs=inputs, target=None)
        if index is batch.index and view <= len(self._views):
            return replace(batch, inputs=self._views[view - 1])
        if auto_augment:
            raise KdzooError(
                f"this method looks at a strongly varied view of each image, such as {auto_augment}: pass "
                "views=[...] of this batch's images"
            )
        if self._given is None or self._given.fetch is None:
            raise KdzooError(
                "this method looks at images with another augmentation: pass views=[...] of this batch's images, or "
                "make the Distiller with data=kdzoo.TrainingSet(labels, fetch)"
            )
        images = self._given.fetch(index).to(next(iter(batch.inputs.values())))
        return Batch(index, {"image": images}, self.labels[index], batch.progress)

    def _described(self, what: str) -> TrainingSet:
        if self._given is None:
            raise KdzooError(
                f"this method must know the {what} of the training set: give data=kdzoo.TrainingSet(...)"
            )
        return self._given


class _Train:
    """Stands for the training split: one example of a batch, and nothing more."""

    def __init__(self, example: Batch) -> None:
        self._example = example

    def __len__(self) -> int:
        self._refuse()

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Not here."""
        self._refuse()

    def __iter__(self) -> Iterator[Batch]:
        yield self._example
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise KdzooError("this method goes over the training set before it trains: run it with kdzoo distill")
