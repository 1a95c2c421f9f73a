"""The flags that set recipe keys: one table. Meaning and accepted values come from the recipe's fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer

from kdzoo.recipe.layers import Layer, dotted

REGISTRY: Any = typer.Option(
    "--registry", help="A registry file or URL: more methods and suites. May be repeated.", show_default=False
)
"""The option of every command that reads the registry."""

NETWORKS, DATA, VIEWS, OPTIMISATION, MACHINE = "Networks", "Data", "Views", "Optimisation", "Machine"
"""Panels of the help."""


@dataclass(frozen=True)
class Flag:
    """A flag of the command line and the recipe key that it sets.

    Attributes:
        name: how Python spells it, such as ``batch_size``.
        key: the dotted key of the recipe.
        panel: where the help lists it; None for the panel of the method.
        forms: as a user types it; by default ``name`` with dashes.
        sets: the value that a switch sets; None where the flag takes one.
        repeated: whether it may be given several times, which sets a list.
    """

    name: str
    key: str
    panel: str | None = None
    forms: tuple[str, ...] = ()
    sets: Any = None
    repeated: bool = False

    @property
    def typed(self) -> tuple[str, ...]:
        """Every form; the first is the one in error messages."""
        return self.forms or (f"--{self.name.replace('_', '-')}",)

    def value(self, given: Any) -> Any:
        """The value for the key; None if the flag was not given."""
        if self.repeated and given:
            return given[0] if len(given) == 1 else list(given)
        return (self.sets if given else None) if self.sets is not None else given


FLAGS: Mapping[str, Flag] = {
    flag.name: flag
    for flag in (
        Flag("knowledge", "knowledge", repeated=True),
        Flag("scheme", "scheme"),
        Flag("algorithm", "algorithm"),
        Flag("teacher", "roles.teacher.model", NETWORKS),
        Flag("teacher_weights", "roles.teacher.weights", NETWORKS),
        Flag("teacher_train", "roles.teacher.train", NETWORKS),
        Flag("teacher_mean", "roles.teacher.mean", NETWORKS),
        Flag("teacher_std", "roles.teacher.std", NETWORKS),
        Flag("teacher_checkpoint", "roles.teacher.checkpoint", NETWORKS),
        Flag("teacher_pretrained", "roles.teacher.pretrained", NETWORKS),
        Flag("teacher_shard", "roles.teacher.shard", NETWORKS, ("--teacher-shard",), sets=True),
        Flag("teacher_img_size", "roles.teacher.img_size", NETWORKS),
        Flag("teacher_epochs", "roles.teacher.epochs", NETWORKS),
        Flag("teacher_lr", "roles.teacher.lr", NETWORKS),
        Flag("student", "roles.student.model", NETWORKS, ("--student", "--model")),
        Flag("student_weights", "roles.student.weights", NETWORKS),
        Flag("student_train", "roles.student.train", NETWORKS),
        Flag("student_checkpoint", "roles.student.checkpoint", NETWORKS),
        Flag("student_pretrained", "roles.student.pretrained", NETWORKS),
        Flag("pretrained", "roles.student.pretrained", NETWORKS),  # as in timm
        Flag("student_img_size", "roles.student.img_size", NETWORKS),
        Flag("drop_path", "roles.student.drop_path", NETWORKS),
        Flag("dataset", "data.dataset", DATA),
        Flag("data_dir", "data.data_dir", DATA),
        Flag("labels_file", "data.labels_file", DATA),
        Flag("class_depth", "data.class_depth", DATA),
        Flag("unlabelled", "data.unlabelled", DATA, ("--unlabelled",), sets=True),
        Flag("allow_missing", "data.allow_missing", DATA, ("--allow-missing",), sets=True),
        Flag("img_size", "data.img_size", DATA),
        Flag("val_fraction", "data.val_fraction", DATA),
        Flag("train_per_class", "data.train_per_class", DATA),
        Flag("test_per_class", "data.test_per_class", DATA),
        Flag("labels_per_class", "data.labels_per_class", DATA),
        Flag("sampling", "data.sampling", DATA),
        Flag("class_weights", "data.class_weights", DATA),
        Flag("batch_size", "data.batch_size", DATA, ("--batch-size", "-b")),
        Flag("workers", "data.workers", DATA, ("--workers", "-j")),
        Flag("scale", "data.augment.scale", VIEWS),  # these are named as in timm
        Flag("ratio", "data.augment.ratio", VIEWS),
        Flag("interpolation", "data.augment.interpolation", VIEWS),
        Flag("hflip", "data.augment.hflip", VIEWS),
        Flag("vflip", "data.augment.vflip", VIEWS),
        Flag("aa", "data.augment.auto_augment", VIEWS),
        Flag("color_jitter", "data.augment.color", VIEWS),
        Flag("color_jitter_prob", "data.augment.color_prob", VIEWS),
        Flag("grayscale_prob", "data.augment.grey", VIEWS),
        Flag("gaussian_blur_prob", "data.augment.blur", VIEWS),
        Flag("reprob", "data.augment.erase", VIEWS),
        Flag("remode", "data.augment.erase_mode", VIEWS),
        Flag("recount", "data.augment.erase_count", VIEWS),
        Flag("aug_repeats", "data.augment.repeats", VIEWS),
        Flag("mixup", "data.augment.mixup", VIEWS),
        Flag("cutmix", "data.augment.cutmix", VIEWS),
        Flag("mixup_prob", "data.augment.mixup_prob", VIEWS),
        Flag("mixup_switch_prob", "data.augment.mixup_switch_prob", VIEWS),
        Flag("mixup_mode", "data.augment.mixup_mode", VIEWS),
        Flag("epochs", "epochs", OPTIMISATION),
        Flag("lr", "optim.lr", OPTIMISATION),
        Flag("lr_base", "optim.lr_base", OPTIMISATION),
        Flag("opt", "optim.opt", OPTIMISATION),
        Flag("weight_decay", "optim.weight_decay", OPTIMISATION),
        Flag("momentum", "optim.momentum", OPTIMISATION),
        Flag("sched", "optim.sched", OPTIMISATION),
        Flag("warmup_epochs", "optim.warmup_epochs", OPTIMISATION),
        Flag("min_lr", "optim.min_lr", OPTIMISATION),
        Flag("clip_grad", "optim.clip_grad", OPTIMISATION),
        Flag("layer_decay", "optim.layer_decay", OPTIMISATION),
        Flag("grad_accum_steps", "optim.grad_accum_steps", OPTIMISATION),
        Flag(
            "model_ema", "model_ema.decay", OPTIMISATION, sets=0.9998
        ),  # timm's decay; --model-ema-decay wins
        Flag("model_ema_decay", "model_ema.decay", OPTIMISATION),
        Flag("model_ema_warmup", "model_ema.warmup", OPTIMISATION, sets=True),
        Flag("patience", "early_stopping.patience", OPTIMISATION),
        Flag("smoothing", "smoothing", OPTIMISATION),
        Flag("seed", "seed", OPTIMISATION),
        Flag("precision", "precision", MACHINE, ("--amp",), sets="bf16-mixed"),
        Flag("channels_last", "channels_last", MACHINE, ("--channels-last/--no-channels-last",)),
        Flag("compile", "compile", MACHINE, ("--torchcompile",)),
    )
}
"""By name, in the order of the help."""

KEYS: Mapping[str, str] = {flag.name: flag.key for flag in FLAGS.values()}
"""From a flag's name to its recipe key."""


def layer(**values: Any) -> list[Layer]:
    """A layer for each flag that was given (is not None), named as the user typed it."""
    layers = []
    for name, value in values.items():
        if value is not None:
            flag = FLAGS[name]
            layers.append(Layer(flag.typed[0].partition("/")[0], dotted({flag.key: value})))
    return layers
