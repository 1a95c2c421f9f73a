"""The flags that set recipe keys: one table from flag to key, so that errors can name what the user typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from kdzoo.recipe.layers import Layer, dotted

REGISTRY: Any = typer.Option(
    "--registry", help="A registry file or URL: more methods and suites. May be repeated.", show_default=False
)
"""Of every command that reads the registry."""

KEYS: Mapping[str, str] = {
    "knowledge": "knowledge",
    "scheme": "scheme",
    "algorithm": "algorithm",
    "teacher": "roles.teacher.model",
    "teacher_checkpoint": "roles.teacher.checkpoint",
    "teacher_pretrained": "roles.teacher.pretrained",
    "teacher_img_size": "roles.teacher.img_size",
    "teacher_epochs": "roles.teacher.epochs",
    "teacher_lr": "roles.teacher.lr",
    "student": "roles.student.model",
    "student_checkpoint": "roles.student.checkpoint",
    "student_pretrained": "roles.student.pretrained",
    "student_img_size": "roles.student.img_size",
    "drop_path": "roles.student.drop_path",
    "dataset": "data.dataset",
    "data_dir": "data.data_dir",
    "img_size": "data.img_size",
    "val_fraction": "data.val_fraction",
    "train_per_class": "data.train_per_class",
    "test_per_class": "data.test_per_class",
    "labels_per_class": "data.labels_per_class",
    "batch_size": "data.batch_size",
    "workers": "data.workers",
    "epochs": "epochs",
    "seed": "seed",
    "opt": "optim.opt",
    "lr": "optim.lr",
    "weight_decay": "optim.weight_decay",
    "momentum": "optim.momentum",
    "sched": "optim.sched",
    "warmup_epochs": "optim.warmup_epochs",
    "min_lr": "optim.min_lr",
    "clip_grad": "optim.clip_grad",
    "smoothing": "smoothing",
    "precision": "precision",
    "channels_last": "channels_last",
    "compile": "compile",
    "observers": "observers",
}


def layer(**flags: Any) -> list[Layer]:
    """A layer for each flag that was given (is not None), named as the user typed it."""
    layers = []
    for flag, value in flags.items():
        if value is not None:
            layers.append(Layer(f"--{flag.replace('_', '-')}", dotted({KEYS[flag]: value})))
    return layers
