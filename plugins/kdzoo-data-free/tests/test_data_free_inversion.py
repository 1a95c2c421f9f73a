"""Images that are optimised, the folder that holds them, and the runs that make and use them."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from kdzoo.api import KdzooError
from kdzoo.cli.flags import layer
from kdzoo.engine.listeners import Listener
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo
from kdzoo_data_free.album import Album, below, move
from kdzoo_data_free.canvas import Canvas
from kdzoo_data_free.deepinversion import DeepInversion
from kdzoo_data_free.functional.inversion import competition_loss, cropped, rolled, total_variation

ZOO = Zoo()
REGISTRY = load_registry(ZOO)
CLASSES = ("cat", "dog", "eel", "fox")
SMALL = {"algorithm.batches": 2, "algorithm.batch_size": 6, "algorithm.steps": 3, "algorithm.jitter": 1}


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(number):
    return torch.tensor(number)


# The mathematics


def test_total_variation_by_hand():
    image = torch.tensor([[[[0.0, 3.0], [4.0, 0.0]]]], dtype=torch.float64)
    # right: -3, 4; below: -4, 3; falling: 0; rising: 4 - 3
    assert total_variation(image).item() == pytest.approx(5 + 5 + 0 + 1)


def test_total_variation_of_a_flat_image_is_zero_and_pulls_nowhere():
    image = torch.full((2, 3, 4, 4), 0.7, requires_grad=True)
    loss = total_variation(image)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(image.grad, torch.zeros_like(image))


def test_total_variation_is_a_norm_over_the_batch():
    images = numbers(3, 2, 5, 5)
    assert total_variation(images.repeat(4, 1, 1, 1)).item() == pytest.approx(
        2 * total_variation(images).item()
    )
    assert torch.autograd.gradcheck(total_variation, numbers(2, 1, 3, 3).requires_grad_())


def test_competition_is_one_minus_the_jensen_shannon_divergence():
    student, teacher = numbers(5, 4), numbers(5, 4, seed=1)
    p, q = (student / 3).softmax(1), (teacher / 3).softmax(1)
    middle = (p + q) / 2
    expected = 1 - ((p * (p / middle).log()).sum(1) + (q * (q / middle).log()).sum(1)).mean() / 2
    assert competition_loss(student, teacher).item() == pytest.approx(expected.item())
    assert competition_loss(student, teacher).item() == pytest.approx(
        competition_loss(teacher, student).item()
    )


def test_competition_is_one_where_both_agree_and_least_where_they_contradict():
    logits = numbers(3, 4)
    assert competition_loss(logits, logits).item() == pytest.approx(1)
    sure = torch.tensor([[300.0, 0.0]])
    assert competition_loss(sure, sure.flip(1)).item() == pytest.approx(1 - math.log(2))
    assert torch.autograd.gradcheck(
        competition_loss, (numbers(2, 3).requires_grad_(), numbers(2, 3, seed=1).requires_grad_())
    )


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, -2), (-1, 3)])
def test_rolled_moves_the_batch_around(down, right):
    images = numbers(2, 3, 4, 5)
    moved = rolled(images, whole(down), whole(right), torch.tensor(False))
    assert torch.equal(moved, images.roll((down, right), (2, 3)))
    mirrored = rolled(images, whole(down), whole(right), torch.tensor(True))
    assert torch.equal(mirrored, images.flip(3).roll((down, right), (2, 3)))


def test_cropped_moves_each_image_by_itself_and_fills_with_black():
    images = numbers(2, 3, 4, 4)
    moved = cropped(images, torch.tensor([1, 0]), torch.tensor([-2, 0]), torch.tensor([False, True]))
    expected = torch.zeros_like(images)
    expected[0, :, 1:, :2] = images[0, :, :3, 2:]
    expected[1] = images[1].flip(2)
    assert torch.equal(moved, expected)


def test_draws_reach_every_number_and_no_other():
    draws = torch.cat([torch.linspace(0, 1, 1001)[:-1], torch.tensor([1 - 2**-24])])
    assert below(draws, 3).unique().tolist() == [0, 1, 2]
    assert move(draws, 2).unique().tolist() == [-2, -1, 0, 1, 2]
    assert move(draws, 0).unique().tolist() == [0]


# The canvas


def test_a_canvas_keeps_its_best_state_and_stays_an_image():
    canvas = Canvas((2, 1, 4, 4), 0.5, 0.25)
    canvas.start(10 * torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    first = canvas()
    assert first.min() == 0
    assert first.max() == 1
    for loss, paint in ((2.0, 0.1), (1.0, 0.2), (1.5, 0.3)):
        with torch.no_grad():
            canvas.paint.fill_(paint)
        canvas.remember(torch.tensor(loss))
    assert torch.equal(canvas.best, torch.full_like(canvas.best, 0.2))
    assert canvas.pixels().unique().tolist() == [round((0.2 * 0.25 + 0.5) * 255)]
    assert {"paint", "best", "least"} <= canvas.state_dict().keys()


def test_the_best_is_no_alias_of_what_is_optimised():
    canvas = Canvas((2, 1, 4, 4))
    canvas.remember(torch.tensor(1.0))
    with torch.no_grad():
        canvas.paint.fill_(1.0)
    assert canvas.best.abs().max() == 0


# The album


@pytest.mark.parametrize("channels", [1, 3])
def test_an_album_gives_back_what_was_put_in(channels, tmp_path):
    album = Album(tmp_path / "images", CLASSES)
    album.begin()
    pixels = torch.randint(0, 256, (10, channels, 5, 5), dtype=torch.uint8)
    album.write(pixels[:6], 0)
    album.write(pixels[6:], 6)
    assert torch.equal(album.read(10, channels), pixels)
    assert album.targets(6, 4).tolist() == [2, 3, 0, 1]
    assert (tmp_path / "images" / "train" / "eel" / "000006.png").exists()


def test_a_missing_image_is_named(tmp_path):
    album = Album(tmp_path / "images", CLASSES)
    album.begin()
    album.write(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), 0)
    with pytest.raises(KdzooError, match=r"000002\.png: cannot read an image that this run made"):
        album.read(3, 3)


def test_classes_that_would_share_a_folder_are_refused(tmp_path):
    with pytest.raises(KdzooError, match="differ in '/'"):
        Album(tmp_path, ("a/b", "a_b"))


# Runs


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    shades = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 32, 32, 3), dtype=np.uint8)
    for split, of_split in zip(("train", "test"), shades, strict=True):
        for name, of_class in zip(CLASSES, of_split, strict=True):
            (folder / split / name).mkdir(parents=True)
            for number, pixels in enumerate(of_class):
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


def recipe(method="deepinversion", teacher="test_resnet", data_dir=None, **settings):
    data = {"data_dir": data_dir} if data_dir else {"train_per_class": 4, "test_per_class": 4}
    flags = layer(
        teacher=teacher, teacher_epochs=1, student="test_efficientnet", epochs=2, batch_size=4, **data
    )
    quiet = {"observers": [], "checkpoint_seconds": 0, **settings}
    return resolve(zoo=ZOO, registry=REGISTRY, method=method, layers=[*flags, Layer("test", dotted(quiet))])


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


class Interrupted(BaseException):
    """As Ctrl-C, at a step of our choice."""


class InterruptIn(Listener):
    """Interrupts the run in its n-th step, when its updates are done and nothing is saved."""

    def __init__(self, step):
        self._left = step

    def step_ended(self, run, batch, figures, moment):
        self._left -= 1
        if not self._left:
            raise Interrupted


@pytest.mark.parametrize("stop_at", [5, 8], ids=["while images are made", "while they are taught"])
def test_an_interrupted_run_leaves_the_images_of_a_whole_one(stop_at, pictures, tmp_path):
    asked = recipe(data_dir=pictures, **SMALL)
    train(asked, tmp_path / "whole", zoo=ZOO)
    with pytest.raises(Interrupted):
        train(asked, tmp_path / "again", zoo=ZOO, listeners=[InterruptIn(stop_at)])
    train(asked, tmp_path / "again", zoo=ZOO, resume=True)
    made = files(tmp_path / "whole" / "images")
    assert len(made) == 12
    assert made == files(tmp_path / "again" / "images")


def test_the_images_train_another_method(pictures, tmp_path):
    train(recipe(data_dir=pictures, **SMALL), tmp_path / "made", zoo=ZOO)
    images = tmp_path / "made" / "images"
    assert (images / "README.md").read_text().count("--data-dir") == 1
    (images / "test").symlink_to(pictures / "test")
    result = train(recipe("rkd", data_dir=images, **{"data.val_fraction": 0}), tmp_path / "used", zoo=ZOO)
    assert result["test/last"] is not None


class Competes(Listener):
    """Whether the competition is among the losses of each step that makes images."""

    def __init__(self):
        self.steps = []

    def step_ended(self, run, batch, figures, moment):
        if moment.phase.startswith("invert"):
            self.steps.append("competition" in figures)


def test_competition_counts_from_the_second_round_on(pictures, tmp_path):
    competes = Competes()
    more = {"algorithm.rounds": 2, "algorithm.competition": 10.0}
    train(recipe(data_dir=pictures, **SMALL, **more), tmp_path / "run", zoo=ZOO, listeners=[competes])
    assert competes.steps == [False] * 6 + [True] * 6
    assert len(files(tmp_path / "run" / "images")) == 24


def test_an_image_moves_towards_its_class():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 4))
    canvas = Canvas((4, 1, 4, 4))
    canvas.start(torch.randn(4, 1, 4, 4))
    adam = torch.optim.Adam(canvas.parameters(), lr=0.1)
    losses = []
    for _ in range(50):
        loss = functional.cross_entropy(10 * network(canvas()), torch.arange(4))
        canvas.remember(loss)
        adam.zero_grad()
        loss.backward()
        adam.step()
        canvas.keep_in_range()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert canvas.least.item() == pytest.approx(min(losses))


def test_competition_without_a_second_round_is_refused():
    with pytest.raises(KdzooError, match=r"algorithm\.rounds=2"):
        DeepInversion(competition=1.0)


def test_a_teacher_without_batch_norm_is_refused(tmp_path):
    with pytest.raises(KdzooError, match="'test_vit' has no BatchNorm"):
        train(recipe(teacher="test_vit", **SMALL), tmp_path / "run", zoo=ZOO)


def test_a_scheme_without_one_teacher_is_refused(tmp_path):
    with pytest.raises(KdzooError, match="take scheme 'offline'"):
        train(recipe(**SMALL, scheme="mutual"), tmp_path / "run", zoo=ZOO)
