"""The interface of a running recipe for knowledge, schemes and algorithms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn

from kdzoo.api.batch import Batch, Output
from kdzoo.api.probe import Probe
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.optim import OptimConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kdzoo.api.scheme import Lesson


class Stream(Iterable[Batch], Protocol):
    """Training samples as batches, shuffled and augmented anew in each epoch."""

    def __len__(self) -> int:
        """The number of batches of an epoch in this process."""

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch that the next iterations go through. The loop does so for the data of a phase.

        Args:
            epoch: counted from 0 over all phases; each has its own order and augmentation.
            start: the number of its first batches that are left out.
        """


class Data(Protocol):
    """The data of a run: three splits that yield batches, and what is needed to build a network for them."""

    @property
    def train(self) -> Stream:
        """The training split, shuffled and augmented as a pure function of (seed, epoch, index).

        The loop sets its epoch; code that goes through it by itself calls :meth:`Stream.set_epoch` before.

        Raises:
            KdzooError: the recipe says ``data.withhold_train``, so no training image was opened.
        """

    @property
    def val(self) -> Iterable[Batch] | None:
        """The validation split, in order; None if the recipe asked for none."""

    @property
    def test(self) -> Iterable[Batch]:
        """The test split, in order."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of their ids."""

    @property
    def channels(self) -> Mapping[str, int]:
        """Modality -> number of input channels."""

    @property
    def img_size(self) -> int:
        """Height and width of the images in pixels."""

    @property
    def names(self) -> Sequence[str]:
        """The readable name of each training sample, by ``Batch.index``: a file's path below its split."""

    @property
    def labels(self) -> Tensor:
        """(rows,) int64 on the device: class ids of training samples by ``Batch.index``.

        ``UNLABELLED`` where the label is withheld or the row is not in the training split. ``len(labels)`` is
        above every index of a training batch, for tables with a row per sample.
        """

    def select(self, index: Tensor) -> Stream:
        """A part of the training split as a separate stream, shuffled and augmented like the whole.

        Args:
            index: (n,) int64 rows of the training split, each once, such as those of some classes, or a memory.
        """

    def fetch(
        self,
        index: Tensor,
        view: int | None = 0,
        weak: bool = False,
        epoch: int | None = None,
        auto_augment: str | None = None,
    ) -> Batch:
        """Training samples by their index, augmented as in the current epoch, or as in another one.

        ``batch`` and ``fetch(batch.index, weak=True)`` are a strong and a weak view of the same samples with the same
        crop; ``fetch(batch.index, view=1, weak=True)`` is a weak view with another one.

        Args:
            index: (B,) int64, such as ``batch.index``; rows of the training split.
            view: each number gives another random augmentation of the same samples; 0 is that of the training
                batches of this epoch (the first of each sample where ``data.augment.repeats`` asks for several), None
                is no augmentation.
            weak: crop and flip alone, those of the view of this number; no other operation of the recipe.
            epoch: counted from 0 over all phases, as in :meth:`Stream.set_epoch`: recalls what an earlier epoch
                showed of these samples, or looks ahead. Default: the current one.
            auto_augment: a name as in ``data.augment.auto_augment``: the samples are cropped and flipped as the
                view of this number, and varied by these operations alone, whatever the recipe says. So a method
                has a strong view of its own beside the protocol's batches.

        Raises:
            KdzooError: the data set is streamed, since it is too large for memory.
        """


class Run(Protocol):
    """A running recipe. Roles are names; every network is used through its role.

    The role ``"student"`` is the one that is exported. Connectors are the role ``"knowledge"``.
    """

    recipe: Recipe
    """What the user asked for, validated. Plugins may read these fields, which keep their names and meanings:

    - ``epochs``, ``seed``, ``smoothing`` (of the labels), ``channels_last``, and ``optim``, an :class:`OptimConfig`
    - ``data.batch_size``; ``data.augment`` with ``mixup`` and ``cutmix``, or None; ``data.labels_per_class``
    - ``roles[ROLE].model``, ``.modality`` (which of ``batch.inputs`` the role reads) and ``.checkpoint``, for the
      roles that the recipe names
    - ``scheme.name`` and ``algorithm.name``, for messages
    - ``knowledge``, a tuple of components, each with ``name`` and ``settings``; empty if nothing is taught
    """
    data: Data
    device: torch.device
    folder: Path
    """The run's folder. An algorithm writes its files to a folder in it, with a name of its own."""
    phase: str
    """The name of the phase that is trained; empty before the first one."""
    state: dict[str, Any]
    """Saved in the checkpoint and restored before the script of phases is run again: tensors and plain values."""

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        """Every enrolled module by role."""

    @property
    def students(self) -> tuple[str, ...]:
        """The roles that learn as networks on the task, in the order of their enrolment."""

    def build(
        self,
        role: str,
        *,
        like: str | None = None,
        num_classes: int | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> nn.Module:
        """The timm backbone that the recipe names for ``role``, else the one it names for ``like``.

        Its random initialisation depends on the seed and the role alone. The module is moved to the device.
        Roles named ``teacher``, ``teacher1``, ... are trained; a numbered one that the recipe does not name has the
        model of ``teacher``, trained from another initialisation.

        Args:
            role: the name.
            like: a role whose network serves where the recipe names none for ``role``.
            num_classes: another number of logits than the data has classes; such a network is untrained. 0 gives the
                role's network without a classifier, with its weights.
            arguments: further arguments of ``timm.create_model``, with precedence over the recipe's; such a
                network is untrained too.

        Raises:
            KdzooError: the recipe names neither.
        """

    def enroll(
        self,
        role: str,
        module: nn.Module,
        *,
        learns: bool = True,
        student: bool | None = None,
        modality: str | None = None,
        reads: str | None = None,
        stages: tuple[int, ...] = (),
        train_mode: bool | None = None,
        optim: OptimConfig | None = None,
    ) -> nn.Module:
        """Use ``module`` for ``role``; enrolling a role again replaces it.

        Args:
            role: the name.
            module: a backbone, or any module that an algorithm trains.
            learns: False freezes it: no parameter gradients, eval mode throughout.
            student: whether it is one of :attr:`students`; default: it learns and is a network on the task.
            modality: which of ``batch.inputs`` it reads; default: the recipe's for the role, else
                ``"image"``.
            reads: a role whose output it reads instead of images: the module is called with that role's
                :class:`Output`, which has the ``stages`` named here, and returns its own. So exits, branches and
                gates share the forward pass of the network that they extend, and their gradient reaches it.
            stages: the stages of the role that it reads.
            train_mode: overrides the mode; only for the few methods whose teacher needs train mode.
                It shows in the run's provenance.
            optim: its optimizer settings; default: the recipe's.
        """

    def derive(self, role: str, compute: Callable[[Batch], Output]) -> None:
        """Make ``role`` a teacher that is computed from others: an ensemble, smoothed labels, expert labels.

        A network that had the role is kept for the figure ``test/ROLE``, which is not that of the derived role.
        """

    def tap(self, role: str, *stages: int, embedding: bool = False, probes: tuple[Probe, ...] = ()) -> None:
        """Let ``role`` output more than the knowledge needs; see :meth:`see`. Stage 0 is the last map."""

    def see(self, role: str, batch: Batch) -> Output:
        """The output of ``role`` for ``batch``, with every tapped stage, shallow to deep; stage 0 comes last.

        Computed once per step, until a role that it depends on is updated. A graph is built only where a
        gradient can flow.
        """

    def task(self, role: str, batch: Batch) -> Tensor:
        """The supervised loss, a mean over the labelled samples; zero where the batch has no target.

        The recipe's label smoothing and class weights are in it.
        """

    def teach(self, batch: Batch, *, detach: bool = True) -> Tensor:
        """The distillation loss, summed over the scheme's lessons; a scalar.

        Args:
            batch: the input of teacher and student.
            detach: detach the teacher's output. False lets a generator be trained through the teacher.
        """

    def taught(self, batch: Batch, *, detach: bool = True) -> Sequence[tuple[Lesson, Tensor]]:
        """The terms of :meth:`teach`: each lesson of this step with its loss, a scalar that includes its weight."""

    def update(self, loss: Tensor, *roles: str) -> None:
        """Backward into the parameters of only these roles, clip, step, schedule.

        Gradients that their parameters have from an earlier backward pass are left out.
        """

    def reduce(self, tensor: Tensor, how: Literal["mean", "sum", "max"] = "mean") -> Tensor:
        """The tensor reduced over the processes, detached: the same in each; as it is with one process.

        For statistics of a batch that all processes must agree on, such as those in buffers.
        """

    def generator(self, name: str) -> torch.Generator:
        """A random generator on the run's device, seeded by (seed, name), whose state is in the checkpoint."""

    def evaluating(self, *roles: str) -> AbstractContextManager[None]:
        """These roles in eval mode inside the block, for attacks on them or training of a generator.

        Their outputs are dropped at both ends, since they were computed in another mode.
        """

    def autocast(self) -> AbstractContextManager[None]:
        """The recipe's precision, for modules that an algorithm calls directly. Compute losses outside it."""

    def picture(self, name: str, picture: Tensor | Figure) -> None:
        """Save a picture among the run's files and show it in every observer and in the report.

        Call it in a step or in ``after_epoch``, at most once per epoch for each name.

        Args:
            name: such as ``generated`` or ``accuracy-matrix``.
            picture: (B, C, H, W) images in [0, 1], shown as a grid of at most 64; or a matplotlib figure.
        """
