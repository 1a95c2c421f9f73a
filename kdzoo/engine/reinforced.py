"""The answers of a reinforced set in a run: its teacher is known by its logits alone, and cannot be asked."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from kdzoo.api.batch import Batch, Output
from kdzoo.api.network import Backbone
from kdzoo.data.dataset import DataSet
from kdzoo.data.reinforced import Reinforced
from kdzoo.engine.role import Role
from kdzoo.engine.stopwatch import Seconds
from kdzoo.errors import KdzooError


class AbsentTeacher(Backbone):
    """Stands for the teacher of a reinforced set: it has its name and classes, and no weights.

    Args:
        taught: the set.
        channels: of the images.
    """

    def __init__(self, taught: Reinforced, channels: int) -> None:
        nn.Module.__init__(self)
        self._folder = taught.folder
        self.name = taught.facts.teacher.model
        self.input_size = (taught.facts.img_size, taught.facts.img_size)
        self.channels, self.num_classes, self.num_stages = channels, len(taught.facts.classes), 0
        self.label_names = taught.facts.classes
        self._frozen_body = False

    @classmethod
    def of(cls, data: DataSet) -> AbsentTeacher | None:
        """What stands for the teacher, if the data are a reinforced set."""
        return None if data.reinforced is None else cls(data.reinforced, data.channels["image"])

    def refuse(self, what: str) -> NoReturn:
        """Say that the set does not have it.

        Raises:
            KdzooError: always.
        """
        raise KdzooError(
            f"the reinforced set {self._folder} has logits of its own views alone, and this method needs {what}: "
            "take one on logits, or train with the teacher itself"
        )

    @property
    def model(self) -> Any:
        """There is none."""
        self.refuse("the teacher's network")

    @property
    def classifier(self) -> nn.Module:
        """There is none."""
        self.refuse("the teacher's classifier")

    def head(self, feature: Tensor) -> Tensor:
        """There is none."""
        self.refuse("the teacher's classifier")

    def forward(self, *_: Any, **__: Any) -> Output:
        """It cannot be asked."""
        self.refuse("the teacher's answers to other pictures")


class ReinforcedAnswers:
    """Gives the logits of a reinforced set in the place of its teacher; see :class:`kdzoo.engine.store.Store`.

    Args:
        taught: the set.
        seed: of the run; it decides which view an epoch shows.
        index: (n,) int64, ``Batch.index`` of the set's images in the order of its files.
        device: where the logits are wanted.
        limit: bytes up to which they are kept there; more are read from their files.

    Raises:
        KdzooError: a file is not what was written.
    """

    def __init__(
        self, taught: Reinforced, seed: int, index: Tensor, device: torch.device, limit: int
    ) -> None:
        self._taught, self._seed, self._device = taught, seed, device
        self._row = torch.full((int(index.max()) + 1,), -1).index_put((index,), torch.arange(len(index)))
        kept = [taught.read(view) for view in range(taught.facts.views)]
        self._logits = [logits for logits, _ in kept]
        self._classes = [classes for _, classes in kept if classes is not None]
        if sum(one.nbytes for one in (*self._logits, *self._classes)) <= limit:
            self._logits = [torch.cat(self._logits).to(device)]
            self._classes = [torch.cat(self._classes).to(device)] if self._classes else []
        self._asked = 0

    def recall(self, member: Role, batch: Batch) -> Output | None:
        """The logits of the set's teacher for the views of ``batch``; None for another role.

        Raises:
            KdzooError: something else is needed of the teacher, or its answer to other pictures.
        """
        teacher = member.module
        if not isinstance(teacher, AbsentTeacher):
            return None
        read = {"embeddings": member.embedding, "maps": member.stages, "values inside it": member.probes}
        for what, wanted in read.items():
            if wanted:
                teacher.refuse(f"the teacher's {what}")
        origin = batch.origin
        if origin is None or not origin.shows(batch, member.modality):
            return None
        index = origin.index if len(batch) == len(origin.index) else batch.index.cpu()
        self._asked += len(batch)
        return Output(
            self.logits(self._taught.drawn(self._seed, origin.epoch, index), index), role=member.name
        )

    def logits(self, views: Tensor, index: Tensor) -> Tensor:
        """(B, classes) float32: the logits for these views (B,) of samples (B,), both on the CPU."""
        rows, number = self._row[index], self._taught.facts.images
        whole = len(self._taught.facts.classes)
        if len(self._logits) == 1:
            at = (views * number + rows).to(self._device)
            kept = self._logits[0].index_select(0, at)
            classes = self._classes[0].index_select(0, at) if self._classes else None
        else:
            places = list(zip(views.tolist(), rows.tolist(), strict=True))
            kept = torch.stack([self._logits[view][row] for view, row in places]).to(self._device)
            classes = None
            if self._classes:
                classes = torch.stack([self._classes[view][row] for view, row in places]).to(self._device)
        return kept.float() if classes is None else spread(kept.float(), classes.long(), whole)

    def keep(self, member: Role, batch: Batch, answer: Output, seconds: Seconds) -> None:
        """Nothing is recorded."""

    def close(self) -> None:
        """Nothing is open."""

    def figures(self) -> dict[str, float]:
        """For the result: images whose answers were wanted, and were replayed."""
        return {"teacher/asked": self._asked, "teacher/replayed": self._asked, "teacher/recorded": 0}


def condensed(logits: Tensor, top_k: int) -> tuple[Tensor, Tensor | None]:
    """The ``top_k`` largest logits (B, K) of each row, one for all other classes, and the classes of the former.

    At a temperature of 1 the classes that are kept have their own probabilities, and the others equal shares of what
    is left, as in FKD and TinyViT.

    Returns:
        (B, top_k + 1) and (B, top_k) int64; all logits and None if ``top_k`` is the number of classes.
    """
    number = logits.shape[1]
    if top_k == number:
        return logits, None
    top, classes = logits.topk(top_k)
    others = logits.scatter(1, classes, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat([top, others - torch.log(torch.tensor(float(number - top_k)))], 1), classes


def spread(kept: Tensor, classes: Tensor, number: int) -> Tensor:
    """The inverse of :func:`condensed`: (B, number) logits."""
    return kept[:, -1:].repeat(1, number).scatter(1, classes, kept[:, :-1])
