"""One enrolled module: its mode, its taps, and the optimizer that trains it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field

import torch
from timm.optim import create_optimizer_v2, get_optimizer_class
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler as TimmSchedule
from torch import nn

from kdzoo.api.batch import Output
from kdzoo.api.probe import Probe
from kdzoo.errors import KdzooError
from kdzoo.recipe.model import OptimConfig


@dataclass(eq=False)
class Role:
    """A module under its name.

    Attributes:
        name: its name in recipes and algorithms.
        module: the network, or another module that an algorithm trains.
        optim: optimizer settings; None = frozen.
        student: whether it is trained on the task.
        modality: which of the batch's inputs it reads.
        train_mode: an explicit mode; None = train while it learns, eval while it is frozen.
        stored: whether checkpoints hold its weights; not needed for a teacher that came from a file.
        stages: the tapped stages, shallow to deep.
        embedding: whether the embedding is tapped.
        probes: the tapped probes.
        reads: the role whose output it reads instead of images; None = images.
        read_stages: of that role, shallow to deep.
        optimizer: of the present phase.
        schedule: of the present phase.
        parameters: those that the optimizer trains.
    """

    name: str
    module: nn.Module
    optim: OptimConfig | None
    student: bool = False
    modality: str = "image"
    train_mode: bool | None = None
    stored: bool = True
    stages: tuple[int, ...] = ()
    embedding: bool = False
    probes: tuple[Probe, ...] = ()
    reads: str | None = None
    read_stages: tuple[int, ...] = ()
    optimizer: torch.optim.Optimizer | None = None
    schedule: TimmSchedule | None = None
    parameters: list[nn.Parameter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.module.requires_grad_(self.optim is not None)
        self.set_mode()

    def show(
        self, output: Output, stages: tuple[int, ...], embedding: bool, probes: tuple[Probe, ...] = ()
    ) -> Output:
        """The part of the role's output with these stages, the embedding if asked for, and these probes."""
        features = output.features
        if stages != self.stages:
            features = tuple(features[self.stages.index(stage)] for stage in stages)
        extras = {probe: output.extras[probe] for probe in probes}
        return output.showing(features, output.embedding if embedding else None, extras)

    @property
    def learns(self) -> bool:
        """Whether it is trained."""
        return self.optim is not None

    def set_mode(self) -> None:
        """Train mode while it learns, eval mode throughout while it is frozen, unless it says otherwise."""
        self.module.train(self.learns if self.train_mode is None else self.train_mode)

    def start_phase(self, epochs: int, steps: int) -> None:
        """A fresh optimizer and schedule for a phase of ``epochs`` x ``steps`` steps."""
        self.optimizer = self.schedule = None
        self.parameters = [one for one in self.module.parameters() if one.requires_grad]
        if self.optim is None or not self.parameters:
            return
        self.optimizer = make_optimizer(self.module, self.optim)
        self.schedule = make_schedule(self.optimizer, self.optim, epochs, steps)

    def at_step(self, step: int) -> None:
        """Set the learning rate of the ``step``-th step of the phase."""
        if self.schedule is not None:
            self.schedule.step_update(step)

    @property
    def lr(self) -> float | None:
        """The learning rate now."""
        return float(self.optimizer.param_groups[0]["lr"]) if self.optimizer else None

    def step(self) -> None:
        """Clip, let the optimizer step, and drop the gradients."""
        assert self.optimizer is not None
        assert self.optim is not None
        if self.optim.clip_grad is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.optim.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def make_optimizer(module: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """A timm optimizer by name.

    Raises:
        KdzooError: timm has no such optimizer, or it refuses an argument.
    """
    try:
        fused = {"fused": True} if _has_fused(config.opt) else {}
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            module,
            opt=config.opt,
            lr=config.lr,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            **{**fused, **config.opt_kwargs},
        )
    except (ValueError, TypeError, AssertionError) as error:
        raise KdzooError(f"optim.opt {config.opt!r}: {error}") from None
    return optimizer


def _has_fused(name: str) -> bool:
    """Whether it is one of torch's optimizers that step in a single kernel: a tenth of the time on a CPU."""
    return "fused" in inspect.signature(get_optimizer_class(name, bind_defaults=False)).parameters


def make_schedule(
    optimizer: torch.optim.Optimizer, config: OptimConfig, epochs: int, steps: int
) -> TimmSchedule | None:
    """A timm schedule that is read at every step of a phase."""
    if config.sched == "none":
        return None
    schedule: TimmSchedule | None
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched=config.sched,
        num_epochs=epochs,
        warmup_epochs=min(config.warmup_epochs, epochs / 2),
        warmup_lr=config.warmup_lr,
        min_lr=config.min_lr,
        decay_epochs=config.decay_epochs[0],
        decay_milestones=list(config.decay_epochs),
        decay_rate=config.decay_rate,
        step_on_epochs=False,
        updates_per_epoch=steps,
    )
    return schedule
