"""Making a reinforced set: a teacher's logits for several views of every training image, recorded once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from kdzoo.api.network import Backbone
from kdzoo.api.observer import Event, Job, Noted, Preparing, Warned
from kdzoo.data.dataset import DataSet
from kdzoo.engine.columns import columns_of
from kdzoo.engine.networks import Networks
from kdzoo.engine.reinforced import condensed
from kdzoo.engine.weights import weights_hash
from kdzoo.errors import KdzooError, shortened
from kdzoo.files import absolute, replacing, sha256_of, write_json, write_text
from kdzoo.jobs.conduct import train_teacher
from kdzoo.jobs.plan import plan_teacher
from kdzoo.jobs.reinforced_card import card
from kdzoo.jobs.resources import Resources
from kdzoo.jobs.teachers import weights_of
from kdzoo.owner import Owner
from kdzoo.recipe.augment import AugmentConfig
from kdzoo.recipe.data import AUTO, DataConfig
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.reinforced import ABOUT, NAMES, PICTURES, VIEWS, Facts, Teacher, read_facts, view_file
from kdzoo.recipe.roles import RoleConfig
from kdzoo.version import __version__

_DECIDE = frozenset(
    {"options", "class_depth", "unlabelled", "allow_missing", "test_fraction", "img_size", "canvas"}
) | {"val_fraction", "split_seed", "train_per_class", "test_per_class", "cache_gb", "bad_images", "dataset"}
"""Settings of the data that decide their splits and the views; whoever trains from the set has them too."""

_LEFT = ("labels_file", "paired", "computed", "views", "withhold_train")
"""Settings of the data that a set cannot have."""


@dataclass(frozen=True)
class Wanted:
    """What is made.

    Attributes:
        folder: where.
        views: of each image.
        top_k: logits that are kept of each answer; None keeps all.
        precision: of the logits.
        licence: of the set.
        copies: whether the pictures are copied into the set, which else has a link to them.
    """

    folder: Path
    views: int
    top_k: int | None = None
    precision: Literal["float16", "float32"] = "float16"
    licence: str = ""
    copies: bool = False


def reinforce(
    recipe: Recipe, wanted: Wanted, resources: Resources, tell: Callable[[Event], None] = lambda event: None
) -> Facts:
    """Make the set in ``wanted.folder``, or go on with it: the views that it has whole are not made again.

    Args:
        recipe: names the teacher, which is trained first if it has no weights, and the data with their views.
        wanted: what is made.
        resources: the shared resources.
        tell: is told of progress and of what the user should know.

    Raises:
        KdzooError: the set cannot be made so, or the folder has another one.
    """

    def warn(message: str) -> None:
        tell(Warned(message))

    _check(recipe)
    data = resources.open(recipe, lambda label, done, total: tell(Preparing(label, done, total)), warn)
    _check_views(data)
    networks = Networks(
        recipe, data, resources.fabric.device, _trained(recipe, resources, warn), resources.zoo
    )
    teacher = networks.build("teacher").eval().requires_grad_(False)
    if teacher.num_classes != len(data.classes) or columns_of(teacher, data) is not None:
        raise KdzooError(
            f"the teacher's {teacher.num_classes} classes are not the data's {len(data.classes)} in their order; a "
            "reinforced set needs a teacher for these"
        )
    for said in networks.notes.values():
        tell(Noted(said))
    facts = _facts(recipe, wanted, data, teacher, networks.sources.get("teacher", ""))
    try:
        (wanted.folder / VIEWS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KdzooError(f"{wanted.folder}: cannot be written: {error.strerror or error}") from None
    owner = Owner(wanted.folder)
    with owner.held() as note:
        if note is not None:
            warn(note)
        facts = _begun(wanted.folder, facts, tell)
        _pictures(recipe.data, wanted)
        names = wanted.folder / NAMES
        if NAMES not in facts.files:
            listed = [data.names[row] for row in data.train.split.index.tolist()]
            write_text(names, json.dumps(listed, indent=0) + "\n")
            facts = _with(wanted.folder, facts, NAMES)
        for view in range(wanted.views):
            tell(Preparing("asking the teacher, views", view, wanted.views))
            if view_file(view) in facts.files:
                continue
            owner.check()
            _write(wanted.folder / view_file(view), facts, _answers(data, teacher, view, resources))
            facts = _with(wanted.folder, facts, view_file(view))
        tell(Preparing("asking the teacher, views", wanted.views, wanted.views))
        write_text(wanted.folder / "README.md", card(facts, linked=(wanted.folder / PICTURES).is_symlink()))
    return facts


def _check(recipe: Recipe) -> None:
    data = recipe.data
    for name in _LEFT:
        if getattr(data, name):
            raise KdzooError(f"data.{name}: a reinforced set cannot have it")
    if data.batch_size == AUTO:
        raise KdzooError("data.batch_size auto: to make a reinforced set, give a number")


def _check_views(data: DataSet) -> None:
    """Refuse views that are not of one image alone, for the teacher's answers are by image."""
    augment = data.augment
    for name in ("mixup", "cutmix"):
        if getattr(augment, name):
            raise KdzooError(
                f"data.augment.{name}: a reinforced set has answers to single images, not to mixed ones"
            )
    if augment.repeats > 1:
        raise KdzooError("data.augment.repeats: a reinforced set has its own number of views (--views)")
    if not data.classes:
        raise KdzooError("a reinforced set needs the names of the classes, and these data have none")
    if data.reinforced is not None:
        raise KdzooError(f"{data.reinforced.folder} is a reinforced set already; take its pictures")


def _trained(
    recipe: Recipe, resources: Resources, warn: Callable[[str], None]
) -> Callable[[str, RoleConfig], Path]:
    """Trains a teacher without weights, unless the cache has it."""

    def train(role: str, config: RoleConfig) -> Path:
        job = Job(f"{role} {config.model}", "teacher", None, (recipe.data.dataset,))
        planned = plan_teacher(recipe, config, job, resources, warn=warn)
        train_teacher(planned, resources, warn)
        return weights_of(planned)

    return train


def _facts(recipe: Recipe, wanted: Wanted, data: DataSet, teacher: Backbone, source: str) -> Facts:
    number, given = len(data.classes), recipe.data
    if wanted.top_k is not None and wanted.top_k > number:
        raise KdzooError(f"--top-k {wanted.top_k}: the data have {number} classes")
    own = {name: getattr(given, name) for name in given.model_fields_set & _DECIDE}
    own["dataset"] = given.dataset
    if given.data_dir is not None:
        own["data_dir"] = Path(PICTURES)
    augment = {name: getattr(data.augment, name) for name in AugmentConfig.model_fields}
    return Facts(
        format=1,
        kdzoo=__version__,
        teacher=Teacher(
            model=recipe.roles["teacher"].model, source=Path(source).name, weights=weights_hash(teacher)
        ),
        licence=wanted.licence,
        views=wanted.views,
        top_k=wanted.top_k or number,
        precision=wanted.precision,
        classes=data.classes,
        seed=recipe.seed,
        batch_size=given.batch_size,
        data=DataConfig.model_validate(own),
        img_size=data.img_size,
        augment=AugmentConfig.model_validate(augment),
        content=data.content,
        images=len(data.train.split),
        files={},
    )


def _begun(folder: Path, facts: Facts, tell: Callable[[Event], None]) -> Facts:
    """The set as it is in the folder, without files that are not what was written; a new one if there is none.

    Raises:
        KdzooError: the folder has another set; names what differs.
    """
    if not (folder / ABOUT).is_file():
        _save(folder, facts)
        return facts
    before = read_facts(folder)
    for name in Facts.model_fields:
        was, now = getattr(before, name), getattr(facts, name)
        if was != now and name not in ("files", "licence", "kdzoo"):
            raise KdzooError(
                f"{folder}: holds another reinforced set: {name} was {shortened(was)} and is {shortened(now)} now; "
                "take another --output"
            )
    whole = {name: digest for name, digest in before.files.items() if sha256_of(folder / name) == digest}
    for name in before.files.keys() - whole.keys():
        tell(Warned(f"{folder / name}: missing, or not what was written; it is made again"))
    facts = facts.model_copy(update={"files": whole})
    _save(folder, facts)
    return facts


def _with(folder: Path, facts: Facts, name: str) -> Facts:
    """The set with one more file, which is there; said in the folder."""
    facts = facts.model_copy(update={"files": {**facts.files, name: sha256_of(folder / name)}})
    _save(folder, facts)
    return facts


def _save(folder: Path, facts: Facts) -> None:
    write_json(folder / ABOUT, facts.model_dump(mode="json", exclude_unset=True))


def _pictures(config: DataConfig, wanted: Wanted) -> None:
    """Put the pictures into the set, or a link to them.

    Raises:
        KdzooError: they cannot be put there.
    """
    place = wanted.folder / PICTURES
    if config.data_dir is None or place.exists():
        return
    source = absolute(config.data_dir)
    try:
        if not wanted.copies:
            place.unlink(missing_ok=True)  # a link to what is no more
            place.symlink_to(source, target_is_directory=True)
            return
        part = place.with_name(f"{PICTURES}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part)
        part.rename(place)
    except OSError as error:
        raise KdzooError(f"{place}: the pictures cannot be put there: {error.strerror or error}") from None


@torch.no_grad()
def _answers(data: DataSet, teacher: Backbone, view: int, resources: Resources) -> Tensor:
    """(n, K) the teacher's logits for one view of every training image, in the order of the split."""
    rows = torch.empty(len(data.train.split), teacher.num_classes)
    for begin, logits in _asked(data, teacher, view, resources):
        rows[begin : begin + len(logits)] = logits[: len(rows) - begin].float().cpu()
    return rows


def _asked(data: DataSet, teacher: Backbone, view: int, resources: Resources) -> Iterator[tuple[int, Tensor]]:
    """Each batch's first row, and its logits."""
    begin, index = 0, data.train.split.index
    for batch in data.train.in_view(view):
        if not torch.equal(batch.index.cpu(), index[(torch.arange(len(batch)) + begin) % len(index)]):
            raise KdzooError("a reinforced set needs pictures that can all be read; see the warning")
        with resources.fabric.autocast():
            yield begin, teacher(batch.inputs["image"]).logits
        begin += len(batch)


def _write(path: Path, facts: Facts, logits: Tensor) -> None:
    """Write the answers to a view, whole or not at all.

    Raises:
        KdzooError: a logit does not fit into the precision, or the file cannot be written.
    """
    kept, classes = condensed(logits, facts.top_k)
    kept = kept.to(getattr(torch, facts.precision))
    if not bool(kept.isfinite().all()):
        raise KdzooError(f"the teacher's logits are not finite in {facts.precision}; try --precision float32")
    content = {"logits": kept.contiguous()}
    if classes is not None:
        small = torch.int16 if len(facts.classes) <= torch.iinfo(torch.int16).max else torch.int32
        content["classes"] = classes.to(small).contiguous()
    try:
        with replacing(path) as part:
            save_file(content, part)
    except (OSError, SafetensorError) as error:  # a full disk comes as the latter
        raise KdzooError(f"{path}: cannot be written: {error}") from None
