"""A run on made-up images, small enough to look at every tensor."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file

from kdzoo.api import Batch, Lesson, Run
from kdzoo.builtin.offline import Offline
from kdzoo.cli.flags import layer
from kdzoo.engine.components import knowledge_of, scheme_of
from kdzoo.engine.lessons import Part
from kdzoo.engine.listeners import Listener
from kdzoo.engine.networks import Networks
from kdzoo.engine.run import TrainingRun
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.recipe.model import Recipe
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo

CLASSES = tuple("abcd")


def made_up_images(size: int, pixels: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Random pictures, and what a heat camera would see of them."""
    images = torch.rand(size, 3, pixels, pixels, generator=generator)
    return {"image": images, "heat": images.mean(dim=1, keepdim=True)}


@dataclass
class MadeUp:
    """A split of random images with random labels; each batch is a function of its number."""

    steps: int = 2
    size: int = 8
    pixels: int = 32
    start: int = 0

    def __len__(self) -> int:
        return self.steps

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        self.start = start

    def __iter__(self) -> Iterator[Batch]:
        for number in range(self.start, self.steps):
            generator = torch.Generator().manual_seed(number)
            yield Batch(
                torch.arange(self.size),
                made_up_images(self.size, self.pixels, generator),
                torch.randint(0, len(CLASSES), (self.size,), generator=generator),
            )


class MadeUpData:
    classes, channels, img_size = CLASSES, {"image": 3, "heat": 1}, 32

    def __init__(self) -> None:
        self.train, self.val, self.test = MadeUp(), MadeUp(1), MadeUp(1)
        self.names = tuple(f"{number}.png" for number in range(self.train.size))
        self.labels = torch.arange(self.train.size) % len(CLASSES)

    def fetch(self, index: torch.Tensor, view: int = 0) -> Batch:
        generator = torch.Generator().manual_seed(100 + view)
        inputs = made_up_images(self.train.size, self.train.pixels, generator)
        return Batch(index, {name: images[index] for name, images in inputs.items()}, self.labels[index])


@pytest.fixture(scope="session")
def zoo() -> Zoo:
    return Zoo()


@pytest.fixture(scope="session")
def registry(zoo):
    return load_registry(zoo)


@pytest.fixture(scope="session")
def teacher_file(tmp_path_factory):
    import timm

    path = (
        tmp_path_factory.mktemp("weights") / "teacher.safetensors"
    )  # read in a fraction of a .pth file's time
    torch.manual_seed(7)
    save_file(timm.create_model("test_resnet", num_classes=len(CLASSES)).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def transformer_file(teacher_file):
    import timm

    path = teacher_file.with_name("transformer.safetensors")
    torch.manual_seed(7)
    model = timm.create_model("test_vit", num_classes=len(CLASSES))
    save_file(model.state_dict(), path)
    return path


Lessons = Callable[[Run, Batch], Iterable[Lesson]]


class Told(Offline):
    """A teacher and a student; a test says what the lessons are."""

    def __init__(self, lessons: Lessons) -> None:
        self._lessons = lessons

    def lessons(self, run: Run, batch: Batch) -> Iterable[Lesson]:
        return self._lessons(run, batch)


@pytest.fixture
def make_run(zoo, registry, teacher_file) -> Callable[..., TrainingRun]:
    """make_run("kd", **{"knowledge.temperature": 2}) -> a run with its roles enrolled."""

    def make(
        method: str,
        *,
        student: str = "test_efficientnet",
        enroll: bool = True,
        parts: Sequence[Part] | None = None,
        lessons: Lessons | None = None,
        listeners: Sequence[Listener] = (),
        **settings,
    ) -> TrainingRun:
        flags = layer(teacher="test_resnet", teacher_checkpoint=teacher_file, student=student, epochs=1)
        extra = Layer("test", dotted({"observers": [], **settings}))
        recipe = resolve(zoo=zoo, registry=registry, method=method, layers=[*flags, extra], spare=["peer"])
        fabric = Fabric(accelerator="cpu", devices=1, precision=recipe.precision)
        data = MadeUpData()
        networks = Networks(recipe, data, fabric.device, lambda role, config: teacher_file)
        scheme = scheme_of(recipe, zoo) if lessons is None else Told(lessons)
        taught = knowledge_of(recipe, zoo) if parts is None else parts
        run = TrainingRun(recipe, data, fabric, scheme, taught, networks, listeners=listeners)
        if enroll:
            scheme.enroll(run)
            run.begin_phase(1, len(data.train))
        return run

    return make


@pytest.fixture
def batch() -> Batch:
    return next(iter(MadeUp()))


@pytest.fixture(scope="session")
def digits_teacher(tmp_path_factory):
    import timm

    path = tmp_path_factory.mktemp("teacher") / "teacher.pth"
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet", num_classes=10, in_chans=1).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def small_recipe(zoo, registry, digits_teacher) -> Callable[..., Recipe]:
    """small_recipe("kd", epochs=2): a few steps on digits, with a checkpoint after each."""

    def make(method: str, **settings) -> Recipe:
        flags = layer(
            teacher="test_resnet", teacher_checkpoint=digits_teacher, student="test_efficientnet", epochs=3,
            batch_size=16, train_per_class=10, test_per_class=10,
        )  # fmt: skip
        more = {"observers": [], "checkpoint_seconds": 0, "roles.student.drop_path": 0.2, **settings}
        layers = [*flags, Layer("test", dotted(more))]
        return resolve(zoo=zoo, registry=registry, method=method, layers=layers)

    return make
