import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import kdzoo_self
from kdzoo.api import Backbone, Batch, KdzooError, Output
from kdzoo.cli.flags import layer
from kdzoo.engine.listeners import Listener
from kdzoo.jobs.train import train
from kdzoo.recipe.layers import Layer, dotted
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo
from kdzoo_self.byot import Byot
from kdzoo_self.exit import Exit
from kdzoo_self.functional import first_confident
from kdzoo_self.growing import GrowingTrust
from kdzoo_self.progressive import Progressive


def backbone(name="test_resnet", size=28):
    import timm

    torch.manual_seed(0)
    return Backbone(timm.create_model(name, num_classes=4), input_size=(size, size))


def recipe(method, student="test_efficientnet", **settings):
    zoo = Zoo()
    flags = layer(student=student, epochs=2, batch_size=16, train_per_class=4, test_per_class=4)
    extra = Layer("test", dotted({"observers": [], "roles.student.drop_path": 0.2, **settings}))
    return resolve(zoo=zoo, registry=load_registry(zoo), method=method, layers=[*flags, extra])


def test_the_plugin_announces_itself_without_torch():
    assert list(kdzoo_self.kdzoo_knowledge()) == ["byot", "consistency"]
    assert list(kdzoo_self.kdzoo_schemes()) == [
        "self-exits", "same-class", "own-past", "virtual", "ema",
    ]  # fmt: skip
    assert list(kdzoo_self.kdzoo_algorithms()) == [
        "born-again", "last-batch", "deep-supervision", "growing-trust",
    ]  # fmt: skip
    script = "import sys, kdzoo_self; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_parameter_of_an_exit_learns_from_the_lesson():
    exit_ = Exit(channels=6, width=5, classes=4, halvings=2)
    own = exit_(Output(torch.empty(0), (torch.randn(3, 6, 8, 8),)))
    assert own.logits.shape == (3, 4)
    assert own.features[0].shape == (3, 5, 2, 2)
    assert own.embedding.shape == (3, 5)
    batch = Batch(torch.arange(3), {})
    Byot(hint=1.0)(own, Output(torch.randn(3, 4), (torch.randn(3, 5, 1, 1),)), batch).sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in exit_.parameters())
    with pytest.raises(KdzooError, match="5 and 7 channels: take scheme 'self-exits'"):
        Byot()(own, Output(torch.randn(3, 4), (torch.randn(3, 7, 1, 1),)), batch)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "test_convnext"])
def test_an_image_gets_the_answer_of_its_exit_and_costs_no_more(name):
    """On maps, on tokens and on channels-last: the answer, and the work that was really done."""
    size = 160 if name == "test_vit" else 32
    network = backbone(name, size)
    network.eval()
    stages = (-3, -2)
    images = torch.rand(6, 3, size, size)
    with torch.no_grad():
        seen = network(images, (*stages, -1))
    exits = [Exit(one.shape[1], 8, 4, 1).eval() for one in seen.features[:-1]]
    with torch.no_grad():
        answers = [
            10 * exit_.classify(feature) for exit_, feature in zip(exits, seen.features[:2], strict=True)
        ]
        for exit_ in exits:
            exit_.classifier.weight.mul_(10)
            exit_.classifier.bias.mul_(10)
    answers.append(seen.logits)
    highest = [one.softmax(1).amax(1) for one in answers[:2]]
    # A threshold at which someone leaves at the first exit, someone later.
    threshold = (highest[0].sort().values[2] + highest[0].sort().values[3]).item() / 2
    model = Progressive(network, exits, stages, threshold)
    before = [len(module._forward_hooks) for module in network.modules()]
    logits, left = model.answer(images)
    expected = first_confident(answers, threshold)
    assert left.tolist() == expected.tolist()
    assert len(set(left.tolist())) > 1
    torch.testing.assert_close(logits, torch.stack(answers)[expected, torch.arange(6)], atol=1e-4, rtol=1e-3)
    assert [len(module._forward_hooks) for module in network.modules()] == before

    costs = model.costs(images[:1])
    assert costs[0] < costs[1] < costs[2]
    assert costs[0] < 0.95
    assert costs[2] < 1.2
    with FlopCounterMode(display=False) as done, torch.no_grad():
        model.answer(images)
    with FlopCounterMode(display=False) as whole, torch.no_grad():
        network(images)
    shares = torch.bincount(left, minlength=3) / 6
    assert done.get_total_flops() / whole.get_total_flops() == pytest.approx(
        sum(share * cost for share, cost in zip(shares.tolist(), costs, strict=True)), rel=1e-5
    )


def test_nothing_runs_when_everybody_has_left():
    network = backbone()
    called = []
    network.model.layer4.register_forward_hook(lambda *_: called.append(1))
    model = Progressive(network, [Exit(48, 8, 4, 1)], (-3,), threshold=0.0)
    called.clear()
    _, left = model.answer(torch.rand(3, 3, 28, 28))
    assert left.tolist() == [0, 0, 0]
    assert not called


def test_a_model_whose_stages_are_no_modules_is_refused_before_training(tmp_path):
    with pytest.raises(KdzooError, match="cannot have early exits"):
        train(
            recipe("byot", student="hrnet_w18_small", **{"roles.student.drop_path": None}),
            tmp_path / "run",
            zoo=Zoo(),
        )
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_the_exported_exits_answer_as_the_trained_ones(tmp_path):
    result = train(
        recipe("byot", **{"data.val_fraction": 0.5, "knowledge.hint": 0.01}), tmp_path / "run", zoo=Zoo()
    )
    folder = tmp_path / "run" / "student"
    model = Progressive.load(folder)
    assert model.threshold == result["progressive/threshold"]
    card = (folder / "README.md").read_text()
    assert "Answering early" in card
    assert "validation split" in card
    for threshold in (0.5, model.threshold):
        shares = [result[f"progressive/{threshold:g}/exit{number}"] for number in (1, 2, 3)]
        assert sum(shares) == pytest.approx(100)
    # The figures are those of the exported model itself, on the same test images.
    from kdzoo.data.open import open_data

    data = open_data(recipe("byot", **{"data.val_fraction": 0.5}).data, seed=0, device=torch.device("cpu"))
    right = count = 0
    for batch in data.test:
        logits, _ = model.answer(batch.inputs["image"])
        right += int((logits.argmax(1) == batch.target).sum())
        count += len(batch)
    assert 100 * right / count == pytest.approx(result[f"progressive/{model.threshold:g}/accuracy"])
    with pytest.raises(KdzooError, match="no exits here"):
        Progressive.load(tmp_path)


class Blend(Listener):
    """How much of each step's loss was taught: (loss - task) / (teach - task), by epoch."""

    def __init__(self):
        self.losses = []
        self.shares = {}

    def updated(self, run, loss, roles):
        self.losses.append(loss.item())

    def step_ended(self, run, batch, figures, moment):
        task, teach = figures["task"].item(), figures["teach"].item()
        self.shares.setdefault(moment.epoch, []).append((self.losses[-1] - task) / (teach - task))


def test_alpha_is_the_authors_in_every_epoch(tmp_path):
    """Theirs is alpha x (epoch + 1) / E from 0, with the label as the past of the first epoch: plain training."""
    blend = Blend()
    settings = {"data.val_fraction": 0.0, "epochs": 4, "data.batch_size": 8}
    train(recipe("ps-kd", **settings), tmp_path / "run", zoo=Zoo(), listeners=[blend])
    assert [len(shares) for shares in blend.shares.values()] == [5] * 4
    expected = {1: 0.0, 2: 0.4, 3: 0.6, 4: 0.8}
    for epoch, shares in blend.shares.items():
        assert shares == pytest.approx([expected[epoch]] * 5, abs=1e-5)


@pytest.mark.parametrize(("steps", "epochs"), [(7, 9), (3, 240), (13, 1)])
def test_alpha_changes_from_epoch_to_epoch_only(steps, epochs):
    growing = GrowingTrust(alpha=0.8)
    seen = [growing.share(step / (steps * epochs), epochs) for step in range(steps * epochs)]
    by_epoch = [0.0, *(0.8 * epoch / epochs for epoch in range(2, epochs + 1))]
    assert seen == pytest.approx([by_epoch[step // steps] for step in range(steps * epochs)])


class AfterEachStep(Listener):
    """Looks at a run when a step is over and the scheme has followed."""

    def __init__(self, look):
        self._look = look
        self._pending = False

    def step_began(self, run, batch, moment):
        self._catch_up(run)

    def step_ended(self, run, batch, figures, moment):
        self._pending = True

    def phase_ended(self, run, phase):
        self._catch_up(run)

    def _catch_up(self, run):
        if self._pending:
            self._look(run)
        self._pending = False


class Past(Listener):
    """What the past and the student answered in each step."""

    def __init__(self):
        self.answers = []

    def taught(self, run, batch, loss):
        past, now = (run.see(role, batch).logits.detach().clone() for role in ("past", "student"))
        self.answers.append((batch.index.clone(), past, now))


def test_the_past_is_what_the_student_answered_and_is_kept_in_the_state(tmp_path):
    past = Past()
    train(recipe("ps-kd", **{"data.val_fraction": 0.0}), tmp_path / "run", zoo=Zoo(), listeners=[past])
    known: dict[int, torch.Tensor] = {}
    compared = 0
    for index, then, now in past.answers:
        for row, was, own in zip(index.tolist(), then, now, strict=True):
            torch.testing.assert_close(was, known.get(row, own))
            compared += row in known
        known |= dict(zip(index.tolist(), now, strict=True))
    assert compared > 16


class Joined(Listener):
    """The batch of each step, and what was taught in it."""

    def __init__(self):
        self.pairs = []

    def step_began(self, run, batch, moment):
        self._batch = batch

    def taught(self, run, batch, loss):
        self.pairs.append((self._batch, batch))


def test_the_last_batch_comes_again_with_another_view_and_its_own_targets(tmp_path):
    joined = Joined()
    train(recipe("dlb", **{"data.val_fraction": 0.0}), tmp_path / "run", zoo=Zoo(), listeners=[joined])
    assert len(joined.pairs[0][1]) == 16
    for (earlier, _), (batch, joint) in pairwise(joined.pairs):
        assert joint.index.tolist() == [*batch.index.tolist(), *earlier.index.tolist()]
        assert joint.target.tolist() == [*batch.target.tolist(), *earlier.target.tolist()]
        torch.testing.assert_close(joint.inputs["image"][:16], batch.inputs["image"])
        assert (joint.inputs["image"][16:] != earlier.inputs["image"]).any()


@pytest.mark.parametrize("method", ["dlb", "tf-kd", "cs-kd", "ps-kd", "ema"])
def test_mixed_images_are_refused_before_anything_is_learned(method, tmp_path):
    for kind in ("mixup", "cutmix"):
        with pytest.raises(KdzooError, match="mixup or cutmix blends two images"):
            train(recipe(method, **{f"data.augment.{kind}": 0.2}), tmp_path / kind, zoo=Zoo())


def test_each_generation_is_born_with_weights_of_its_own_and_the_last_one_teaches(tmp_path):
    states = []

    def look(run):
        states.append({name: one.model.fc.weight.detach().clone() for name, one in run.roles.items()})

    result = train(
        recipe("ban", student="test_resnet", **{"algorithm.generations": 3}),
        tmp_path / "run",
        zoo=Zoo(),
        listeners=[AfterEachStep(look)],
    )
    per_phase = len(states) // 3
    first, second, third = states[per_phase - 1], states[2 * per_phase - 1], states[-1]
    assert list(first) == ["student"]
    torch.testing.assert_close(second["generation1"], first["student"], rtol=0, atol=0)
    torch.testing.assert_close(third["generation1"], first["student"], rtol=0, atol=0)
    torch.testing.assert_close(third["generation2"], second["student"], rtol=0, atol=0)
    born = [states[0]["student"], states[per_phase]["student"], states[2 * per_phase]["student"]]
    assert not torch.allclose(born[0], born[1], atol=1e-2)
    assert not torch.allclose(born[1], born[2], atol=1e-2)
    assert {"test/generation1", "test/generation2", "test/ensemble"} <= set(result)


def test_generations_of_several_students_are_refused(tmp_path):
    with pytest.raises(KdzooError, match="trains one student"):
        train(recipe("ban", scheme="self-exits"), tmp_path / "run", zoo=Zoo())


def test_the_average_follows_and_is_exported(tmp_path):
    from safetensors.torch import load_file

    kept = []

    def look(run):
        kept.append([run.roles[r].state_dict()["model.conv_stem.weight"].clone() for r in ("student", "ema")])

    result = train(
        recipe("ema", **{"scheme.decay": 0.6}), tmp_path / "run", zoo=Zoo(), listeners=[AfterEachStep(look)]
    )
    for number, ((_, before), (student, now)) in enumerate(pairwise(kept), 2):
        decay = min(0.6, 1 - 1 / (number + 1))
        torch.testing.assert_close(now, decay * before + (1 - decay) * student)
    saved = load_file(tmp_path / "run" / "student" / "average.safetensors")
    torch.testing.assert_close(saved["conv_stem.weight"], kept[-1][1])
    assert "test/ema" in result


def test_the_virtual_teacher_leaves_withheld_labels_alone(tmp_path):
    from kdzoo_self.virtual import VirtualTeacher

    class Known:
        def see(self, role, batch):
            return Output(torch.full((3, 4), 7.0))

    answer = VirtualTeacher()._answer(Known(), Batch(torch.arange(3), {}, torch.tensor([1, -1, 2]))).logits
    assert answer[1].tolist() == [7.0] * 4
    assert answer.softmax(1)[0, 1].item() == pytest.approx(0.99)


class Stopped(Exception):
    pass


class StopIn(Listener):
    """Interrupts the run in its n-th step, when its updates are done and nothing is saved."""

    def __init__(self, step):
        self._left = step

    def step_ended(self, run, batch, figures, moment):
        self._left -= 1
        if not self._left:
            raise Stopped


@pytest.mark.parametrize("method", ["dlb", "ps-kd", "ema", "cs-kd", "ban", "byot"])
def test_a_run_that_stops_and_goes_on_ends_as_one_that_does_not(method, tmp_path):
    job = recipe(method, checkpoint_seconds=0, **{"data.val_fraction": 0.0, "data.train_per_class": 5})
    whole = train(job, tmp_path / "whole", zoo=Zoo())
    # In the second epoch; generations: also within a later phase.
    with pytest.raises(Stopped):
        train(job, tmp_path / "stopped", zoo=Zoo(), listeners=[StopIn(5)])
    resumed = train(job, tmp_path / "stopped", zoo=Zoo(), resume=True)
    for name in ("model.safetensors", *extra(tmp_path / "whole")):
        assert (tmp_path / "stopped/student" / name).read_bytes() == (
            tmp_path / "whole/student" / name
        ).read_bytes()
    assert resumed["test/last"] == whole["test/last"]


def extra(folder: Path) -> list[str]:
    return [one.name for one in (folder / "student").glob("*.safetensors") if one.name != "model.safetensors"]
