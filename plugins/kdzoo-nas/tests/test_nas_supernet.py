"""Spaces of timm families, networks that share weights, blocks, searches."""

import json
import random
from types import SimpleNamespace

import pytest
import timm
import torch

from kdzoo.api import Backbone, KdzooError
from kdzoo.data.open import open_data
from kdzoo.recipe.data import DataConfig
from kdzoo_nas.blocks import Blocks
from kdzoo_nas.budget import budget, latency
from kdzoo_nas.evolution import best, evolve
from kdzoo_nas.families import family_of
from kdzoo_nas.nsga import nsga2
from kdzoo_nas.search import search_images
from kdzoo_nas.space import Options, Space, Stage, from_plain, plain
from kdzoo_nas.supernet import Builder, SuperNet
from kdzoo_nas.trace import Trace

FACTORS = {"widths": (0.5, 1.0), "depths": (1.0, 2.0), "kernels": (3, 7)}
CPU = torch.device("cpu")


class Lender:
    """As much of a run as a builder asks for."""

    def __init__(self, model, **kwargs):
        self.kwargs = kwargs
        self.model = model
        self.recipe = SimpleNamespace(roles={"student": SimpleNamespace(model=model, kwargs=kwargs)})
        self.roles = {"student": self.build("student")}

    def build(self, role, *, like=None, arguments=None):
        torch.manual_seed(0)
        given = {**self.kwargs, **(arguments or {})}
        model = timm.create_model(self.model, num_classes=4, in_chans=1, **given)
        return Backbone(model, input_size=(32, 32), label_names=tuple("abcd"))


@pytest.fixture(params=["test_resnet", "test_convnext"])
def builder(request):
    shallow = {"depths": (1, 1, 1, 1)} if request.param == "test_convnext" else {}
    return Builder(Lender(request.param, **shallow), **FACTORS)


def images(count=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(6, 1, 32, 32, generator=generator) for _ in range(count)]


def some(builder, count=4):
    chance = random.Random(0)
    space = builder.space
    return [space.smallest, space.largest, *(space.draw(chance) for _ in range(count))]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "test_resnet", "test_convnext"])
def test_what_is_read_of_a_model_spells_it(name):
    model = timm.create_model(name, device="meta")
    family = family_of(model, name)
    again = timm.create_model(name, device="meta", **family.spell(family.read(model)))
    assert {key: one.shape for key, one in model.state_dict().items()} == {
        key: one.shape for key, one in again.state_dict().items()
    }
    for block in family.blocks(len(family.read(model))):
        assert model.get_submodule(block)


def test_other_families_are_refused():
    with pytest.raises(KdzooError, match="takes ResNets and ConvNeXts as --student"):
        Builder(Lender("test_efficientnet"), **FACTORS)


def test_a_space_is_what_the_factors_make_of_the_model():
    space = Builder(Lender("test_convnext"), **FACTORS).space
    assert space.stages[2] == Options((24, 48), (4, 8), (3, 7))
    assert len(space) == 8**4
    assert space.largest == (Stage(24, 2, 7), Stage(32, 4, 7), Stage(48, 8, 7), Stage(64, 4, 7))
    assert Builder(Lender("test_resnet"), **FACTORS).space.smallest == (
        Stage(16, 1),
        Stage(24, 1),
        Stage(24, 1),
        Stage(48, 1),
    )


def test_drawing_mutating_and_crossing_stay_in_the_space():
    space = Space((Options((8, 16), (1, 2)), Options((8, 24, 32), (1,), (3, 5))))
    chance = random.Random(0)
    every = {tuple(one) for one in __import__("itertools").product(*space.stages)}
    assert {space.draw(chance) for _ in range(500)} == every
    assert len(space) == len(every)
    parent, other = space.largest, space.smallest
    assert space.mutate(parent, chance, 0.0) == parent
    assert {space.mutate(parent, chance, 1.0) for _ in range(500)} == every
    for _ in range(50):
        child = space.cross(parent, other, chance)
        assert all(
            field in pair
            for made, *pairs in zip(child, parent, other, strict=True)
            for field, pair in zip(made, zip(*pairs, strict=True), strict=True)
        )
    around = list(space.around(parent))
    assert len(around) == len(set(around)) == 1 + 2 + 2 + 1
    assert from_plain(json.loads(json.dumps(plain(parent)))) == parent


def test_an_architecture_answers_as_timms_own_model_with_its_part_of_the_weights(builder):
    net = SuperNet(builder)
    for one in some(builder):
        network = builder.build("student", one)
        net.give(one, network, images())
        with torch.no_grad():
            expected = network.eval()(images()[0], (-2,))
            answer = net.call(one, images()[0], net.statistics(one, images()), stages=(-2,))
        torch.testing.assert_close(answer.logits, expected.logits)
        torch.testing.assert_close(answer.features[0], expected.features[0])


def test_weights_are_shared_and_training_touches_no_statistics(builder):
    net = SuperNet(builder)
    assert not list(net.buffers())
    small, large = builder.space.smallest, builder.space.largest
    before = {name: one.clone() for name, one in net.named_parameters()}
    net.call(small, images()[0]).logits.sum().backward()
    used = {name: one.grad for name, one in net.named_parameters() if one.grad is not None}
    # Of the classifier the smallest reads the first half of the columns; the rest must not feel it.
    weight = next(grad for name, grad in used.items() if name.endswith("fc/weight"))
    half = weight.shape[1] // 2
    assert weight[:, :half].abs().sum() > 0
    assert not weight[:, half:].any()
    net.zero_grad()
    for one in [*builder.space.around(large), small]:
        (net.call(one, images()[0]).logits ** 2).sum().backward()
    assert all(one.grad is not None for one in net.parameters()), "somebody uses each parameter"
    assert all(torch.equal(one, before[name]) for name, one in net.named_parameters())


def test_statistics_are_the_plain_mean_over_the_batches():
    builder = Builder(Lender("test_resnet"), **FACTORS)
    net = SuperNet(builder)
    one = builder.space.smallest
    found = net.statistics(one, images(3))
    network = builder.build("student", one)
    net.give(one, network, images(3))
    first = next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    seen = []
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].mean((0, 2, 3))))
    with torch.no_grad():
        for image in images(3):
            network.train()(image)
    name = next(key for key in found if key.endswith("running_mean"))
    torch.testing.assert_close(found[name], torch.stack(seen).mean(0))
    momenta = {m.momentum for m in builder.skeleton(one).modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert momenta == {0.1}


def test_a_budget_counts_what_timm_counts(builder):
    for one in some(builder):
        assert builder.parameters(one) == sum(p.numel() for p in builder.build("x", one).parameters())
    bounds = budget(builder, 0.5, None, CPU)
    assert bounds.allows(builder.space.smallest)
    assert not bounds.allows(builder.space.largest)
    assert budget(builder, 10.0**9, None, CPU).allows(builder.space.largest)
    with pytest.raises(KdzooError, match=r"no architecture has at most 100 parameters"):
        budget(builder, 100, None, CPU)


def test_a_latency_is_measured_once_and_bounds():
    builder = Builder(Lender("test_resnet"), **FACTORS)
    assert latency(builder.build("x", builder.space.smallest), CPU) > 0
    bounds = budget(builder, None, 1e6, CPU)
    assert bounds.allows(builder.space.largest)
    assert bounds.cost(builder.space.largest) == bounds.cost(builder.space.largest)
    with pytest.raises(KdzooError, match="the smallest architecture takes"):
        budget(builder, None, 1e-6, CPU)


def test_the_blocks_sizes_add_up_and_every_weight_learns(builder):
    torch.manual_seed(0)
    teacher = timm.create_model("test_byobnet", num_classes=4, in_chans=1)
    blocks = Blocks(builder, builder._like, Backbone(teacher, input_size=(32, 32)))
    for one in some(builder):
        widths = (0, *(stage.width for stage in one))
        assert builder.parameters(one) == sum(
            blocks.size(number, widths[number], own) for number, own in enumerate(one)
        )
    targets = tuple(
        torch.randn(6, channels, side, side)
        for channels, side in zip((32, 64, 128, 256), (8, 4, 2, 1), strict=True)
    )
    space = builder.space
    for one in [*space.around(space.largest), space.smallest]:
        for number, own in enumerate(one):
            width = one[number - 1].width if number else 0
            made = blocks.answer(number, width, own, images()[0], targets)
            assert made.shape[:2] == targets[number].shape[:2]
            (made**2).sum().backward()
    idle = [name for name, one in blocks.named_parameters() if one.grad is None]
    assert all("/fc/" in name or "/head/" in name for name in idle), idle  # no block has the classifier


def test_a_teacher_with_too_few_stages_is_refused():
    builder = Builder(Lender("test_resnet"), **FACTORS)
    vit = timm.create_model("test_vit", num_classes=4, in_chans=1, img_size=32, depth=2)
    with pytest.raises(KdzooError, match="shows 4 stages"):
        Blocks(builder, builder._like, Backbone(vit, input_size=(32, 32)))


SPACE = Space(tuple(Options((8, 16, 24, 32), (1, 2, 3)) for _ in range(4)))


def wish(one):
    """Better near one architecture."""
    return -sum(abs(stage.width - 24) / 8 + abs(stage.depth - 2) for stage in one)


def narrow(one):
    return sum(stage.width for stage in one) <= 88


@pytest.mark.parametrize("seed", range(3))
def test_evolution_is_better_than_chance_and_keeps_to_the_budget(seed):
    evolved = evolve(SPACE, wish, narrow, random.Random(seed), population=16, generations=8)
    drawn = evolve(SPACE, wish, narrow, random.Random(seed), population=128, generations=1)
    assert len(evolved) == len(drawn) == 128
    assert all(narrow(one) for one in evolved)
    assert wish(best(evolved)[0]) > wish(best(drawn)[0])
    assert list(evolved) == list(
        evolve(SPACE, wish, narrow, random.Random(seed), population=16, generations=8)
    )


def test_where_nothing_else_is_allowed_the_smallest_is_found():
    found = evolve(SPACE, wish, lambda one: False, random.Random(0), population=2, generations=2)
    assert list(found) == [SPACE.smallest]


def test_optunas_sampler_keeps_to_the_budget_and_repeats_itself():
    pytest.importorskip("optuna")

    def cost(one):
        return sum(stage.width for stage in one)

    def search():
        return nsga2(SPACE, wish, cost, narrow, 0, population=8, generations=4)

    found = search()
    assert found == search()
    assert all(narrow(one) for one in found)
    assert wish(best(found)[0]) > -6


def test_a_trace_is_kept_written_and_drawn(tmp_path):
    candidates = (SPACE.smallest, SPACE.largest, SPACE.draw(random.Random(0)))
    trace = Trace(candidates, (1.0, 3.0, 2.0), (5.0, 6.0, 4.0), SPACE.largest, "parameters", "score")
    assert Trace.load(json.loads(json.dumps(trace.dump()))) == trace
    trace.write(tmp_path / "search" / "search.json")
    read = json.loads((tmp_path / "search" / "search.json").read_text())
    assert [one["front"] for one in read["candidates"]] == [True, True, False]
    assert from_plain(read["found"]) == SPACE.largest
    left, right = trace.figure().axes
    assert left.get_ylabel() == "score"
    assert right.get_xlabel() == "parameters"


def test_candidates_are_judged_by_images_that_are_not_mixed():
    def seen(**augment):
        config = DataConfig(
            dataset="digits", train_per_class=4, batch_size=8, val_fraction=0.0, augment=augment
        )
        return search_images(SimpleNamespace(data=open_data(config, seed=0, device=CPU)), 2)

    for mixed, plain_one in zip(seen(mixup=1.0), seen(mixup=0.0), strict=True):
        assert torch.equal(mixed.index, plain_one.index)
        assert torch.equal(mixed.target, plain_one.target)
        assert torch.equal(mixed.inputs["image"], plain_one.inputs["image"])
