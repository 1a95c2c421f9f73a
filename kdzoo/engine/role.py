"""One enrolled module: its mode, its taps, and the optimizer that trains it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_class, param_groups_layer_decay
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler as TimmSchedule
from torch import Tensor, nn

from kdzoo.api.batch import Output
from kdzoo.api.network import Backbone
from kdzoo.api.probe import Probe
from kdzoo.engine.ema import MovingAverage, copied, with_weights
from kdzoo.errors import KdzooError
from kdzoo.recipe.ema import EmaConfig
from kdzoo.recipe.optim import OptimConfig


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
        model_ema: the average of its weights that is kept if it is a student.
        moving_average: of its weights in the present phase; None without one.
        unaveraged: its weights at the end of the phase before, if it goes on with their average.
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
    model_ema: EmaConfig = field(default_factory=EmaConfig)
    moving_average: MovingAverage | None = None
    unaveraged: dict[str, Tensor] | None = None
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
        """A fresh optimizer, schedule and average for a phase of ``epochs`` x ``steps`` updates."""
        self.optimizer = self.schedule = self.moving_average = self.unaveraged = None
        self.parameters = [one for one in self.module.parameters() if one.requires_grad]
        if self.optim is None or not self.parameters:
            return
        self.optimizer = make_optimizer(self.module, self.optim)
        self.schedule = make_schedule(self.optimizer, self.optim, epochs, steps)
        if self.student:
            self.moving_average = MovingAverage.of(self.model_ema)

    def end_phase(self) -> None:
        """Take the average of the phase's weights, if there is one."""
        if self.moving_average is not None and self.moving_average.updates:
            self.unaveraged = copied(self.module.state_dict())
            self.module.load_state_dict(self.moving_average.tensors)
        self.moving_average = None

    @contextmanager
    def averaged(self) -> Iterator[bool]:
        """The average in place of the weights inside the block, if there is one; whether there is."""
        if self.moving_average is None or not self.moving_average.updates:
            yield False
            return
        with with_weights(self.module, self.moving_average.tensors):
            yield True

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimizer and average."""
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict() if self.optimizer else None,
            "moving_average": self.moving_average.state_dict() if self.moving_average else None,
            "unaveraged": self.unaveraged,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`, in the phase in which that was taken."""
        self.module.load_state_dict(saved["module"])
        if self.optimizer is not None and saved["optimizer"] is not None:
            self.optimizer.load_state_dict(saved["optimizer"])
        if self.moving_average is not None and saved.get("moving_average") is not None:
            self.moving_average.load_state_dict(saved["moving_average"])
        self.unaveraged = saved.get("unaveraged")

    def at_step(self, step: int) -> None:
        """Set the learning rate of the ``step``-th update of the phase."""
        if self.schedule is not None:
            self.schedule.step_update(step)

    @property
    def lr(self) -> float | None:
        """The learning rate now, of the last layer where layers differ."""
        if self.optimizer is None:
            return None
        group = self.optimizer.param_groups[0]
        return float(group["lr"]) / float(group.get("lr_scale", 1.0))

    def step(self) -> None:
        """Clip, let the optimizer step, drop the gradients, and average the weights."""
        assert self.optimizer is not None
        assert self.optim is not None
        if self.optim.clip_grad is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.optim.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.moving_average is not None:
            self.moving_average.update(self.module)


def make_optimizer(module: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """A timm optimizer by name.

    Raises:
        KdzooError: timm has no such optimizer, or it refuses an argument.
    """
    try:
        fused = {"fused": True} if _has_fused(config.opt) else {}
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            module if config.layer_decay is None else _by_layer(module, config),
            opt=config.opt,
            lr=config.lr,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            filter_bias_and_bn=config.filter_bias_and_bn,
            **{**fused, **config.opt_kwargs},
        )
    except (ValueError, TypeError, AssertionError) as error:
        raise KdzooError(f"optim.opt {config.opt!r}: {error}") from None
    if config.sched == "none":  # a schedule would scale the rate of each layer
        for group in optimizer.param_groups:
            group["lr"] *= group.get("lr_scale", 1.0)
    return optimizer


def _by_layer(module: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Groups of ``timm.optim.param_groups_layer_decay`` for each network; other parameters have the whole rate."""
    groups: list[dict[str, Any]] = []
    inside: set[int] = set()
    for network in (part.model for part in module.modules() if isinstance(part, Backbone)):
        groups += param_groups_layer_decay(
            network,
            weight_decay=config.weight_decay,
            no_weight_decay_list=network.no_weight_decay() if hasattr(network, "no_weight_decay") else (),
            weight_decay_exclude_1d=config.filter_bias_and_bn,
            layer_decay=config.layer_decay,
        )
        inside.update(map(id, network.parameters()))
    decaying: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, one in module.named_parameters():
        if one.requires_grad and id(one) not in inside:
            spared = config.filter_bias_and_bn and (one.ndim <= 1 or name.endswith(".bias"))
            decaying[not spared].append(one)
    groups += [
        {"params": found, "weight_decay": config.weight_decay if decays else 0.0}
        for decays, found in decaying.items()
        if found
    ]
    return groups


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
