"""Every method of the registry in somebody else's loop: taken with the engine's numbers, or refused with a reason."""

import copy
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from lightning_fabric import Fabric

import kdzoo
from kdzoo.api import Batch
from kdzoo.data.open import open_data
from kdzoo.engine.components import algorithm_of, knowledge_of, scheme_of
from kdzoo.engine.listeners import Listener
from kdzoo.engine.networks import Networks
from kdzoo.engine.role import make_optimizer
from kdzoo.engine.run import TrainingRun
from kdzoo.errors import KdzooError
from kdzoo.registry.load import load_registry
from kdzoo.testing.subject import SMALL, Subject
from kdzoo.zoo import Zoo

ZOO = Zoo()
REGISTRY = load_registry(ZOO)

TAKEN = [
    "aekd",
    "afd",
    "agglomerate",
    "at",
    "at-kd",
    "avg",
    "baseline",
    "byot",
    "ca-mkd",
    "catkd",
    "cc",
    "cmkd",
    "crd",
    "crd-kd",
    "cs-kd",
    "ctkd",
    "dist",
    "dkd",
    "dkd-ls",
    "dlb",
    "dml",
    "ebkd",
    "ema",
    "expert-labels",
    "features",
    "features-dense",
    "fitnet",
    "funmatch",
    "hard",
    "hkd",
    "ickd",
    "irg",
    "kd",
    "kd-ls",
    "kdcl",
    "label-smoothing",
    "lskd",
    "mgd",
    "mhgd",
    "mlkd",
    "mlkd-ls",
    "mlkd-views",
    "nkd",
    "nst",
    "ofa",
    "ofd",
    "okddip",
    "one",
    "pkt",
    "proteus",
    "ps-kd",
    "queue",
    "reviewkd",
    "rkd",
    "rkd-da",
    "semckd",
    "sp",
    "srd",
    "srrl",
    "srrl-kd",
    "tf-kd",
    "vid",
    "vit-attention",
    "vkd",
    "wsld",
]

GENERATED = "trains on images that it generates"
TASKS = "learns one task of classes after the other"
ATTACKED = "attacks the student to make the images of each step"
QUANTIZED = "trains a quantized network in the student's place"
REFUSED = {
    "ab": "has two phases",
    "agglomerate-phi-s": "goes over the training set before it trains",
    "apprentice": QUANTIZED,
    "apprentice-finetune": QUANTIZED,
    "apprentice-joint": QUANTIZED,
    "ard": ATTACKED,
    "ban": "has a phase for each generation",
    "dafl": GENERATED,
    "deepinversion": GENERATED,
    "der": TASKS,
    "dfq": GENERATED,
    "diswot": "searches the student's architecture first",
    "dna": "searches the student's architecture first",
    "fast": GENERATED,
    "feature-gan": "updates discriminators and students in turn",
    "finetune": TASKS,
    "fitnet-two-phase": "has two phases",
    "fsp": "has two phases",
    "ft": "has two phases",
    "gan-supplement": "also trains a generator and a discriminator",
    "icarl": TASKS,
    "int8": "quantizes the student in a second phase",
    "joint": TASKS,
    "lsq-kd": QUANTIZED,
    "lwf": TASKS,
    "pgd-training": ATTACKED,
    "podnet": TASKS,
    "proxy": "has two phases",
    "ptq-distill": "reconstructs the student unit by unit",
    "qkd": "has three phases or more",
    "replay": TASKS,
    "rslad": ATTACKED,
    "sandwich": "searches the student's architecture first",
    "simkd": "trains the student with the teacher's classifier in place of its own",
    "specialists": "trains the specialists first",
    "tf-kd-self": "has a phase for each generation",
    "transfer": "builds the network 'student' by itself",
    "transfer-finetune": "has two phases",
    "zskt": GENERATED,
}
"""Method -> the end of the sentence that refuses it."""

SGD = {
    "optim.opt": "sgd",
    "optim.lr": 0.02,
    "optim.weight_decay": 0.0,
    "optim.sched": "none",
    "optim.clip_grad": None,
}
PLAIN = {
    "roles.student.mean": [0.0],
    "roles.student.std": [1.0],
    "roles.teacher.mean": [0.0],
    "roles.teacher.std": [1.0],
}
"""Images reach the networks as they are, as those that a user has normalised."""


class Recorded(Networks):
    """Remembers the networks of the roles as they were built."""

    def build(self, role, like=None, num_classes=None, arguments=None):
        network = super().build(role, like, num_classes, arguments)
        self.__dict__.setdefault("built", {})[role] = copy.deepcopy(network)
        return network


@dataclass
class Step:
    number: int
    batch: Batch
    inputs: dict
    views: list
    loss: torch.Tensor


class Losses(Listener):
    def __init__(self):
        self.found = []

    def updated(self, run, loss, roles):
        self.found.append(loss.detach().clone())


def small(name, tmp_path):
    keys = {**SGD, **PLAIN}
    if name == "expert-labels":
        np.save(tmp_path / "labels.npy", np.random.default_rng(0).dirichlet(np.ones(10), size=1257))
        keys["scheme.labels"] = str(tmp_path / "labels.npy")
    return Subject(ZOO.find("algorithm", REGISTRY.methods[name].algorithm.name), ZOO, REGISTRY, name, keys)


def in_the_engine(subject, steps=4):
    """What the engine does in its first steps: the networks before, each batch with its loss, the student after."""
    recipe = subject.recipe()
    fabric = Fabric(accelerator="cpu", devices=1)
    data = open_data(recipe.data, seed=recipe.seed, device=fabric.device)
    networks, losses = Recorded(recipe, data, fabric.device, lambda role, config: None), Losses()
    run = TrainingRun(
        recipe, data, fabric, scheme_of(recipe, ZOO), knowledge_of(recipe, ZOO), networks, listeners=[losses]
    )
    run.scheme.enroll(run)
    student = networks.built["student"]

    def in_size(batch):
        own = student.input_size == (data.img_size, data.img_size)
        return {name: one if own else student.prepare(one) for name, one in batch.inputs.items()}

    augmented = recipe.algorithm.settings.get("strong")
    strong = {"auto_augment": augmented} if augmented else {}
    data.train.set_epoch(0)
    phases = algorithm_of(recipe, ZOO).phases(run)
    phase = next(phases)
    run.begin_phase(phase.epochs, len(data.train))
    done = []
    for number, batch in zip(range(steps), data.train, strict=False):
        batch = run.begin_step(number, batch)
        try:
            views = [in_size(run.data.fetch(batch.index, view=view, **strong)) for view in (1, 2, 3)]
        except KdzooError:
            views = []
        torch.manual_seed(number)
        phase.step(batch)
        run.end_step()
        done.append(Step(number, batch, in_size(batch), views, losses.found[-1]))
    assert len(losses.found) == steps
    return run, {role: one.model for role, one in networks.built.items()}, done


def in_my_loop(subject, run, models, steps, state=None):
    models = copy.deepcopy(models)
    keys = {**SMALL, **subject.entry.small, **subject.settings}
    settings = {
        key: value
        for key, value in keys.items()
        if key.split(".")[0] not in ("roles", "data", "store_gb", "checkpoint_seconds", "observers")
        or key.endswith(".modality")
    }
    data = kdzoo.TrainingSet(
        run.data.labels,
        lambda index: run.data.fetch(index, view=1).inputs["image"],
        run.data.classes,
        run.data.names,
    )
    distiller = kdzoo.Distiller(
        models.pop("student"), models.pop("teacher", None), subject.method, networks=models,
        example=steps[0].inputs, settings=settings, data=data,
    ).train()  # fmt: skip
    parts = [distiller.student, *distiller.others.values(), *distiller.connectors]
    optimizers = [make_optimizer(one, run.recipe.optim) for one in parts if list(one.parameters())]
    if state is not None:
        distiller.load_state_dict(state["distiller"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    losses = []
    for step in steps:
        torch.manual_seed(step.number)
        found = distiller(
            step.inputs, step.batch.target, step.batch.progress, index=step.batch.index, views=step.views
        )
        found["total"].backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(found["total"].detach())
    file = io.BytesIO()
    torch.save(
        {"distiller": distiller.state_dict(), "optimizers": [one.state_dict() for one in optimizers]}, file
    )
    file.seek(0)
    return distiller, torch.load(file, weights_only=True), losses


QUICK = {"avg", "byot", "crd", "cs-kd", "dlb", "dml", "ema", "kd", "okddip", "ps-kd"}
"""One of each kind; the others take a minute."""


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in TAKEN]
)
def test_a_method_in_my_loop_has_the_engines_numbers_and_resumes(name, tmp_path):
    subject = small(name, tmp_path)
    run, models, steps = in_the_engine(subject)
    _, state, first = in_my_loop(subject, run, models, steps[:2])
    distiller, _, then = in_my_loop(subject, run, models, steps[2:], state)
    assert torch.stack([*first, *then]).tolist() == [float(step.loss) for step in steps]
    own = run.roles["student"].model.state_dict()
    for key, weight in distiller.student.state_dict().items():
        assert torch.equal(weight, own[key]), key


def test_the_page_lists_the_same_methods():
    page = (Path(__file__).parents[2] / "docs" / "loops.md").read_text()
    for heading, names in (("| what you give |", TAKEN), ("| why not |", REFUSED)):
        table = page[page.index(heading) :].partition("\n\n")[0].splitlines()[2:]
        listed = [name for row in table for name in row.split("|")[2].strip().split(", ")]
        assert sorted(listed) == sorted(names)
    assert f"{len(TAKEN)} of {len(REGISTRY.methods)}." in page
    assert f"{len(TAKEN)} of the methods" in (Path(__file__).parents[2] / "README.md").read_text()


def test_every_method_is_taken_or_refused():
    assert sorted([*TAKEN, *REFUSED]) == sorted(REGISTRY.methods)


@pytest.mark.parametrize("name", REFUSED)
def test_a_method_that_is_more_than_one_loss_is_refused_with_the_reason(name):
    student, *others = (timm.create_model("test_resnet", num_classes=4) for _ in range(3))
    images = torch.zeros(2, 3, 32, 32)
    if name == "transfer":
        images = {"image": images, "heat": images}
    teacher = others if "agglomerate" in name else others[0]
    with pytest.raises(KdzooError, match=f"{REFUSED[name]}.*kdzoo distill$"):
        kdzoo.Distiller(student, teacher, name, example=images)
