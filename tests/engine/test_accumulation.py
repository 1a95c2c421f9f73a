"""The gradients of several steps for one update."""

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from kdzoo.builtin.offline import Offline
from kdzoo.engine.role import Role
from kdzoo.engine.roster import Roster
from kdzoo.engine.run import TrainingRun
from kdzoo.engine.updates import Updates
from kdzoo.errors import KdzooError
from kdzoo.jobs.train import train
from kdzoo.recipe.optim import OptimConfig
from kdzoo.zoo import Zoo

SGD = OptimConfig(opt="sgd", lr=0.1, warmup_epochs=0, weight_decay=0.01, clip_grad=1.0)


def trained(steps, accumulate, epochs=2, *, several=True):
    """Weights and learning rates of two roles after ``epochs``, trained on 12 samples in so many steps an epoch."""
    torch.manual_seed(0)
    roster = Roster(Fabric(accelerator="cpu", devices=1))
    parts = {name: nn.Linear(6, 3) for name in ("student", "other")}
    for name, module in parts.items():
        roster.enroll(Role(name, module, SGD, student=True))
    updates = Updates(roster, roster.fabric, {}, accumulate)
    updates.begin_phase(epochs, steps)
    images, rates = torch.randn(12, 6), []
    for step in range(epochs * steps):
        progress = updates.begin_step(step)
        rates.append((progress, roster.members["student"].lr))
        some = images.chunk(steps)[step % steps]
        loss = sum(module(some).square().mean() for module in parts.values())
        updates.apply(loss, *parts) if several else updates.apply(loss, "student")
        updates.end_step()
    return {name: module.weight.detach() for name, module in parts.items()}, rates


def test_n_steps_equal_one_with_n_times_as_many_images():
    (small, small_rates), (large, large_rates) = trained(12, 4), trained(3, 1)
    for name in large:
        torch.testing.assert_close(small[name], large[name], rtol=1e-5, atol=1e-6)
    assert small_rates[::4] == large_rates, "schedules count updates"
    assert all(small_rates[4 * group] == small_rates[4 * group + 3] for group in range(6))


def test_the_last_group_of_an_epoch_has_the_steps_that_are_left():
    few, rates = trained(3, 2)
    assert [rate for _, rate in rates][:3] == [rates[0][1], rates[0][1], rates[2][1]]
    assert rates[2][1] < rates[0][1]
    whole, _ = trained(3, 5)
    alone, _ = trained(1, 1)
    torch.testing.assert_close(whole["student"], alone["student"], rtol=1e-5, atol=1e-6)
    assert not torch.equal(few["student"], whole["student"])


def test_a_role_that_a_group_did_not_use_keeps_its_weights():
    found, _ = trained(4, 2, several=False)
    torch.manual_seed(0)
    nn.Linear(6, 3)
    assert torch.equal(found["other"], nn.Linear(6, 3).weight)


def test_several_updates_in_a_step_are_refused(small_recipe, tmp_path):
    settings = {"epochs": 1, "optim.grad_accum_steps": 2, "algorithm.width": 4}
    with pytest.raises(KdzooError, match=r"optim\.grad_accum_steps: this algorithm makes several updates"):
        train(small_recipe("gan-supplement", **settings), tmp_path / "run", zoo=Zoo())


class Following(Offline):
    calls = 0

    def after_step(self, run):
        self.calls += 1


def test_a_teacher_that_follows_its_student_follows_updates(make_run, batch):
    made, scheme = make_run("baseline", enroll=False, **{"optim.grad_accum_steps": 2}), Following()
    run = TrainingRun(made.recipe, made.data, made.fabric, scheme, (), made.networks)
    scheme.enroll(run)
    run.begin_phase(1, 2)
    for step in range(2):
        assert scheme.calls == 0
        seen = run.begin_step(step, batch)
        run.update(run.task("student", seen), "student")
        run.end_step()
    assert scheme.calls == 1
