"""The rules that make it work; see the list in docs/design.md."""

import pytest
import torch
from torch import nn

from kdzoo.api import Batch, Lesson, Output
from kdzoo.engine.components import algorithm_of
from kdzoo.engine.weights import weights_hash
from kdzoo.errors import KdzooError


def step(run, zoo, batch):
    """One step of the recipe's algorithm."""
    phase = next(algorithm_of(run.recipe, zoo).phases(run))
    batch = run.begin_step(0, batch)
    values = phase.step(batch)
    run.end_step()
    return values


def grads(module: nn.Module) -> list[bool]:
    return [parameter.grad is not None for parameter in module.parameters()]


@pytest.mark.parametrize("method", ["kd", "dkd", "fitnet", "rkd", "at"])
def test_a_teacher_is_bit_identical_after_training_and_the_student_is_not(make_run, zoo, batch, method):
    run = make_run(method)
    before = {role: weights_hash(module) for role, module in run.roles.items()}
    step(run, zoo, batch)
    after = {role: weights_hash(module) for role, module in run.roles.items()}
    assert after["teacher"] == before["teacher"]
    assert after["student"] != before["student"]
    assert not any(grads(run.roles["teacher"]))


def test_a_frozen_role_is_wholly_in_eval_mode_and_a_learner_in_train_mode(make_run):
    run = make_run("kd", **{"roles.student.drop_path": 0.2, "roles.teacher.drop_path": 0.2})
    assert not any(module.training for module in run.roles["teacher"].modules())
    assert not any(parameter.requires_grad for parameter in run.roles["teacher"].parameters())
    assert all(module.training for module in run.roles["student"].modules())


def test_modes_are_put_back_after_validation(make_run):
    from kdzoo.engine.evaluate import accuracy

    run = make_run("kd")
    accuracy(run, "student", run.data.val)
    accuracy(run, "teacher", run.data.val)
    assert all(module.training for module in run.roles["student"].modules())
    assert not any(module.training for module in run.roles["teacher"].modules())


def test_a_teacher_that_asks_for_train_mode_gets_it(make_run):
    run = make_run("kd", enroll=False)
    run.enroll("teacher", run.build("teacher"), learns=False, train_mode=True)
    assert all(module.training for module in run.roles["teacher"].modules())
    assert run.members["teacher"].stored, "its statistics move, so checkpoints must hold them"


def test_no_graph_is_built_for_a_frozen_role(make_run, batch):
    run = make_run("kd")
    assert run.see("teacher", batch).logits.grad_fn is None
    assert run.see("student", batch).logits.grad_fn is not None


def test_gradient_flows_through_a_frozen_role_to_its_input(make_run, batch):
    """What a generator needs: it learns through the teacher, which stays as it is."""
    run = make_run("kd")
    images = batch.inputs["image"].clone().requires_grad_()
    made = Batch(batch.index, {"image": images}, None)
    run.see("teacher", made).logits.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not any(grads(run.roles["teacher"]))


def test_teach_cuts_the_teacher_off_unless_told_not_to(make_run, batch):
    run = make_run("kd")
    images = batch.inputs["image"].clone().requires_grad_()
    made = Batch(batch.index, {"image": images}, None)
    gradient = {}
    for detach in (True, False):
        (gradient[detach],) = torch.autograd.grad(run.teach(made, detach=detach), images)
        run.end_step()
    assert not torch.allclose(gradient[True], gradient[False])


def test_update_touches_the_named_roles_and_nobody_else(make_run, batch):
    run = make_run("dml")
    before = [parameter.clone() for parameter in run.roles["peer1"].parameters()]
    both = run.task("student", batch) + run.task("peer1", batch)
    run.update(both, "student")
    for old, new in zip(before, run.roles["peer1"].parameters(), strict=True):
        assert torch.equal(old, new)
    assert not any(grads(run.roles["peer1"]))
    assert not any(grads(run.roles["student"])), "gradients are dropped after the step"


def test_update_leaves_out_gradients_of_an_earlier_backward_pass(make_run, batch):
    def updated(before: bool) -> list[torch.Tensor]:
        run = make_run("kd")
        loss = run.task("student", batch)
        if before:
            (100 * loss).backward(retain_graph=True)
        run.update(loss, "student")
        return [parameter.detach().clone() for parameter in run.roles["student"].parameters()]

    assert all(map(torch.equal, updated(False), updated(True)))


def test_update_of_a_frozen_or_unknown_role_is_refused(make_run, batch):
    run = make_run("kd")
    with pytest.raises(KdzooError, match="'teacher' is frozen"):
        run.update(run.task("student", batch), "teacher")
    with pytest.raises(KdzooError, match="'critic' is not enrolled"):
        run.update(run.task("student", batch), "critic")


def test_connectors_learn_under_the_role_knowledge(make_run, batch):
    run = make_run("fitnet")
    loss = run.teach(batch)
    (connector,) = run.connectors.values()
    before = [parameter.clone() for parameter in connector.module.parameters()]
    assert before
    run.update(loss, "student", "knowledge")
    after = list(connector.module.parameters())
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_building_connectors_moves_no_state(make_run, batch):
    """The probe runs in eval mode and draws from a generator of its own."""
    run = make_run("fitnet")
    statistics = {name: one.clone() for name, one in run.roles["student"].named_buffers()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    run.prepare(batch)
    assert list(run.connectors) == [("student", "teacher")]
    assert torch.equal(torch.rand(3), expected)
    for name, one in run.roles["student"].named_buffers():
        assert torch.equal(one, statistics[name]), name
    assert all(module.training for module in run.roles["student"].modules())


def test_a_role_is_computed_once_a_step(make_run, batch):
    run = make_run("kd")
    calls = []
    run.roles["student"].register_forward_hook(lambda *_: calls.append(1))
    run.see("student", batch)
    run.task("student", batch)
    run.teach(batch)
    assert len(calls) == 2, "once for the step, once to build the knowledge"
    run.end_step()
    run.see("student", batch)
    assert len(calls) == 3


def test_what_was_seen_is_dropped_when_its_role_is_updated(make_run, batch):
    run = make_run("dml")
    run.derive(
        "both", lambda one: Output((run.see("student", one).logits + run.see("peer1", one).logits) / 2)
    )
    first = {role: run.see(role, batch) for role in ("student", "peer1", "both")}
    run.update(run.task("student", batch), "student")
    assert run.see("peer1", batch) is first["peer1"]
    assert run.see("student", batch) is not first["student"]
    assert run.see("both", batch) is not first["both"], "it came from the student"


def test_only_the_asked_for_stages_are_computed(make_run, batch):
    run = make_run("kd")
    run.teach(batch)
    assert run.see("student", batch).features == ()
    assert run.see("student", batch).embedding is None
    run = make_run("fitnet", **{"knowledge.stages": [-3, -2]})
    run.teach(batch)
    assert len(run.see("student", batch).features) == 2


def test_more_taps_than_one_knowledge_asks_for_do_not_confuse_it(make_run, batch):
    run = make_run("fitnet")
    alone = run.teach(batch)
    again = make_run("fitnet")
    again.tap("student", -4, -1, embedding=True)
    again.tap("teacher", -3)
    assert torch.equal(again.teach(batch), alone)


def test_losses_are_float32_under_autocast(make_run, batch):
    run = make_run("kd", precision="bf16-mixed")
    assert run.see("student", batch).logits.dtype == torch.bfloat16
    assert run.task("student", batch).dtype == torch.float32
    assert run.teach(batch).dtype == torch.float32


def test_the_task_loss_leaves_withheld_labels_out(make_run, batch):
    run = make_run("kd")
    half = batch.target.clone()
    half[4:] = -1
    logits = run.see("student", batch).logits
    expected = nn.functional.cross_entropy(logits[:4], batch.target[:4])
    assert torch.allclose(run.task("student", Batch(batch.index, batch.inputs, half)), expected, atol=1e-6)
    none = Batch(batch.index, batch.inputs, torch.full_like(half, -1))
    assert run.task("student", none) == 0
    assert run.task("student", Batch(batch.index, batch.inputs, None)) == 0


def test_a_weight_per_sample_weighs_samples(make_run, batch):
    run = make_run("kd", lessons=lambda run, batch: [Lesson("student", "teacher", weight)])
    weight = torch.zeros(len(batch))
    assert run.teach(batch) == 0
    weight = torch.ones(len(batch))
    whole = run.teach(batch)
    weight = torch.tensor([1.0] * 4 + [0.0] * 4)
    first = run.teach(batch)
    weight = 1 - weight
    assert torch.allclose(first + run.teach(batch), whole)


def test_a_weight_per_sample_with_one_loss_for_the_batch_is_refused(make_run, batch):
    each = Lesson("student", "teacher", torch.ones(len(batch)))
    run = make_run("rkd", lessons=lambda run, batch: [each])
    with pytest.raises(
        KdzooError, match=r"has a weight for each sample; knowledge 'rkd' gives one loss for the whole batch"
    ):
        run.teach(batch)


def test_a_derived_teacher_without_stages_is_refused_where_stages_are_compared(make_run, batch):
    run = make_run("fitnet", lessons=lambda run, batch: [Lesson("student", "uniform")])
    run.derive("uniform", lambda one: Output(torch.zeros(len(one), 4)))
    with pytest.raises(
        KdzooError, match=r"'uniform' of scheme .* is computed from others and has logits alone"
    ):
        run.teach(batch)


def test_a_loss_that_is_not_finite_is_noticed(make_run, batch):
    run = make_run("kd")
    run.update(run.task("student", batch) * float("inf"), "student")
    assert not run.finite


def test_initial_weights_depend_on_seed_and_role_alone(make_run):
    first, again, other = make_run("kd"), make_run("dml"), make_run("kd", seed=1)
    assert weights_hash(first.roles["student"]) == weights_hash(again.roles["student"])
    assert weights_hash(first.roles["student"]) != weights_hash(other.roles["student"])
    assert weights_hash(again.roles["student"]) != weights_hash(again.roles["peer1"])


def test_progress_goes_from_zero_to_just_under_one(make_run, batch):
    run = make_run("kd")
    run.begin_phase(2, 5)
    assert [run.begin_step(step, batch).progress for step in (0, 5, 9)] == [0.0, 0.5, 0.9]


def test_the_learning_rate_follows_the_schedule(make_run, batch):
    run = make_run("kd", **{"optim.lr": 0.1, "optim.warmup_epochs": 1, "optim.warmup_lr": 0.0})
    run.begin_phase(4, 10)
    rates = []
    for number in (0, 5, 10, 25, 39):
        run.begin_step(number, batch)
        rates.append(run.members["student"].lr)
    assert rates[0] == 0.0
    assert rates[1] == pytest.approx(0.05)
    assert rates[2] > rates[3] > rates[4] > 0
