"""Interfaces of methods beyond losses: roles on other roles' features, probes, assembled students, figures, files."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from kdzoo.api import Assembled, KdzooError, Knowledge, Lesson, Output, Probe, Taps
from kdzoo.builtin.offline import Offline
from kdzoo.builtin.pretrain import Pretrain
from kdzoo.engine.evaluate import accuracy
from kdzoo.engine.lessons import Part
from kdzoo.engine.networks import Networks
from kdzoo.engine.weights import weights_hash
from kdzoo.jobs.train import train
from kdzoo.testing.watch import KeepRun


class Exit(nn.Module):
    """A linear classifier on one stage's mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(channels, 4)
        self.seen: list[Output] = []

    def forward(self, output: Output) -> Output:
        self.seen.append(output)
        (feature,) = output.features
        return Output(self.classifier(feature.mean((2, 3))), (feature,))


@pytest.fixture
def exits(make_run, batch):
    run = make_run("baseline")
    channels = run.roles["student"].model.feature_info[-3]["num_chs"]
    run.enroll("exit", Exit(channels), reads="student", stages=(-3,), student=True)
    return run


def test_a_role_that_reads_another_gets_its_stages_and_teaches_it_through_them(exits, batch):
    exits.tap("student", -1)  # somebody else asks for more
    deep = exits.roles["student"].model.feature_info[-1]["num_chs"]
    shallow = exits.roles["student"].model.feature_info[-3]["num_chs"]
    loss = exits.task("exit", batch)
    assert [one.features[0].shape[1] for one in exits.roles["exit"].seen] == [shallow]
    assert deep != shallow
    gradient = torch.autograd.grad(loss, exits.roles["student"].model.conv_stem.weight, retain_graph=True)[0]
    assert gradient.abs().sum() > 0
    before = {role: weights_hash(module) for role, module in exits.roles.items()}
    exits.update(loss, "exit")
    assert weights_hash(exits.roles["student"]) == before["student"], "only the roles that are named"
    assert weights_hash(exits.roles["exit"]) != before["exit"]


def test_it_is_forgotten_when_the_role_that_it_reads_is_updated(exits, batch):
    first = exits.see("exit", batch)
    assert exits.see("exit", batch) is first
    exits.update(exits.task("student", batch), "student")
    assert exits.see("exit", batch) is not first


def test_it_is_a_student_with_an_accuracy_of_its_own(exits):
    assert exits.students == ("student", "exit")
    values = [accuracy(exits, role, exits.data.val) for role in exits.students]
    assert all(0 <= value <= 100 for value in values)
    assert exits.roles["exit"].training, "modes are put back"


@dataclass(frozen=True)
class FirstConvolution(Probe):
    """What the first convolution gives."""

    def attach(self, model, keep):
        first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
        return [first.register_forward_hook(lambda module, inputs, output: keep(output))]


class Stem(Knowledge):
    """The student's first convolution, averaged, like the teacher's."""

    name = "stem"
    kind = "feature"
    taps = Taps(probes=(FirstConvolution(),))

    def forward(self, student, teacher, batch):
        (own,), (other,) = student.extras[FirstConvolution()], teacher.extras[FirstConvolution()]
        assert not other.requires_grad
        return (own.mean((1, 2, 3)) - other.mean((1, 2, 3))).square()


def test_a_probe_reads_inside_both_networks_for_the_time_of_the_forward_pass(make_run, batch):
    run = make_run("kd", parts=[Part("stem", 1.0, Stem)])
    loss = run.teach(batch)
    shown = run.see("student", batch).extras[FirstConvolution()]
    inside = run.roles["student"]
    first = next(module for module in inside.modules() if isinstance(module, nn.Conv2d))
    assert not first._forward_hooks
    assert len(shown) == 1
    assert torch.equal(shown[0], first(inside.prepare(batch.inputs["image"])))
    run.update(loss, "student")
    assert run.finite


def test_a_derived_role_has_no_inside(make_run, batch):
    uniform = Lesson("student", "uniform")
    run = make_run("kd", parts=[Part("stem", 1.0, Stem)], lessons=lambda run, batch: [uniform])
    run.derive("uniform", lambda one: Output(torch.zeros(len(one), 4)))
    with pytest.raises(KdzooError, match=r"compares values inside a timm model; the role .uniform."):
        run.teach(batch)


@pytest.mark.parametrize(
    "model",
    [
        "test_resnet",
        "test_efficientnet",
        "test_byobnet",
        "lcnet_035",
        "test_convnext",
        "resnet10t",
        "regnetx_002",
    ],
)
def test_the_head_continues_where_the_last_stage_ends(make_run, batch, model):
    network = make_run("baseline", student=model).roles["student"]
    network.eval()
    with torch.no_grad():
        own = network(batch.inputs["image"], (-1,))
        assert torch.allclose(network.head(own.features[0]), own.logits, atol=1e-5)


def test_a_head_that_reads_something_else_is_refused(make_run):
    network = make_run("baseline", student="test_vit").roles["student"]
    with pytest.raises(
        KdzooError, match="'test_vit': its logits do not follow from the map of its last stage"
    ):
        network.head(torch.zeros(2, network.model.embed_dim, 2, 2))
    assert network.training


class Doubled(Assembled):
    """Twice the backbone's logits."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image, stages=(), embedding=False, probes=()):
        output = self.backbone(image, stages, embedding, probes)
        return Output(2 * output.logits, output.features, output.embedding, output.extras)


class Assembling(Offline):
    """Its student is assembled, and it has a figure and a file of its own."""

    def enroll(self, run):
        run.enroll("student", Doubled(run.build("student")))

    def measure(self, run) -> Mapping[str, float]:
        assert not any(module.training for module in run.roles["student"].modules())
        assert not torch.is_grad_enabled()
        return {"test/mine": 12.5}

    def export(self, run, folder):
        (folder / "more.txt").write_text("more")
        return "## More\n\nThere is more."


def test_an_assembled_student_is_exported_as_a_program_for_torch_alone(small_recipe, tmp_path, zoo_with):
    keep = KeepRun()
    job = small_recipe("baseline", epochs=1)
    result = train(job, tmp_path / "run", zoo=zoo_with(Assembling), listeners=[keep])
    assert result["test/mine"] == 12.5
    student = tmp_path / "run" / "student"
    assert (student / "more.txt").read_text() == "more"
    card = (student / "README.md").read_text()
    assert "There is more." in card
    image = torch.rand(3, 1, 32, 32)
    torch.save(image, tmp_path / "image.pt")
    code = """
import sys, torch
assert "kdzoo" not in sys.modules and "timm" not in sys.modules
logits = torch.export.load("run/student/model.pt2").module()(torch.load("image.pt"))
assert "kdzoo" not in sys.modules and "timm" not in sys.modules
torch.save(logits.detach(), "logits.pt")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with torch.no_grad():
        expected = keep.run.roles["student"].eval()(image).logits
    assert torch.allclose(torch.load(tmp_path / "logits.pt"), expected, atol=1e-5)
    assert 'torch.export.load("student/model.pt2")' in card


def test_numbered_teachers_are_trained_from_initialisations_of_their_own(make_run):
    run = make_run("kd")
    roles = {
        name: one.model_copy(update={"checkpoint": None, "seed": 3}) for name, one in run.recipe.roles.items()
    }
    asked = {}
    networks = Networks(
        run.recipe.model_copy(update={"roles": roles}),
        run.data,
        run.device,
        lambda role, config: asked.update({role: config.seed}),
    )
    for role in ("teacher", "teacher1", "teacher2"):
        networks.build(role)
    assert asked == {"teacher": 3, "teacher1": 4, "teacher2": 5}


def test_a_specialist_has_its_own_number_of_classes_and_comes_untrained(make_run):
    run = make_run("kd")
    specialist = run.build("teacher1", num_classes=3)
    assert specialist.num_classes == 3
    assert specialist.label_names is None


def test_a_modality_that_the_data_lacks_is_refused(make_run):
    with pytest.raises(KdzooError, match=r"roles.student.modality 'depth': the data has image, heat"):
        make_run("kd", **{"roles.student.modality": "depth"})


def test_pretrain_uses_no_label_first_and_the_teachers_logits_afterwards(make_run, batch):
    run = make_run("fitnet", **{"epochs": 4})
    first, second = Pretrain(fraction=0.5, soft_weight=1.0).phases(run)
    assert (first.name, first.epochs, second.name, second.epochs) == ("pretrain", 2, "distill", 2)
    run.begin_phase(2, 2)
    classifier = run.roles["student"].classifier.weight
    before = classifier.detach().clone()
    assert set(first.step(run.begin_step(0, batch))) == {"teach"}
    assert torch.equal(classifier, before), "hints below the classifier cannot move it"
    run.end_step()
    recorded = second.step(run.begin_step(1, batch))
    assert recorded["soft"] > 0
    assert not torch.equal(classifier, before)


def test_pretrain_needs_two_epochs(make_run):
    with pytest.raises(KdzooError, match="at least --epochs 2"):
        next(Pretrain().phases(make_run("fitnet")))
