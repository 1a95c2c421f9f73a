"""Whole runs, as short as they can be, and what is refused before anything is trained."""

import json

import pytest
import timm
import torch

from kdzoo.api import KdzooError

SHORT = {"student": "test_resnet", "train_per_class": 8, "batch_size": 40}
FEW = {"algorithm.population": 3, "algorithm.generations": 2}
SEARCHES = {
    "diswot": {**FEW, "algorithm.initialisations": 1, "algorithm.batches": 1},
    "dna": {"algorithm.widths": (0.5, 1.0), "algorithm.batches": 1},
    "sandwich": {**FEW, "algorithm.batches": 1},
}


@pytest.mark.parametrize("method", SEARCHES)
def test_what_is_found_is_a_timm_model_within_the_budget_and_is_exported(method, experiment):
    done = experiment(method, epochs=2, **SHORT, **SEARCHES[method])
    student = done.run.folder / "student"
    call = json.loads((student / "architecture.json").read_text())
    assert call["model"] == "test_resnet"
    model = timm.create_model(call["model"], num_classes=10, in_chans=1, **call["kwargs"])
    parameters = sum(one.numel() for one in model.parameters())
    assert parameters == done.result["parameters"] == done.result["search/cost"]
    widest = json.loads((done.run.folder / "search" / "search.json").read_text())["candidates"]
    assert len(widest) >= 1
    assert list((done.run.folder / "pictures").glob("architecture-search-*.png"))
    loaded = timm.create_model(f"local-dir:{student}", pretrained=True).eval()
    backbone = done.run.roles["student"].eval()
    image = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        expected = loaded((image - backbone.mean) / backbone.std)
        torch.testing.assert_close(backbone(image).logits, expected)
    assert "timm.create_model(" in (student / "README.md").read_text()


def test_a_search_reads_the_teacher_and_does_not_change_it(experiment):
    searched = [experiment(method, epochs=2, **SHORT, **SEARCHES[method]) for method in SEARCHES]
    plain = experiment("kd", epochs=1, **{**SHORT, "train_per_class": 8})
    for done in searched:
        for name, one in plain.run.roles["teacher"].state_dict().items():
            assert torch.equal(one, done.run.roles["teacher"].state_dict()[name]), name


@pytest.mark.slow
def test_convnexts_are_searched_with_other_knowledge_under_optuna(experiment):
    pytest.importorskip("optuna")
    done = experiment(
        "sandwich",
        epochs=2,
        **{**SHORT, "student": "test_convnext", "knowledge": "rkd"},
        **SEARCHES["sandwich"],
        **{"algorithm.sampler": "nsga2", "algorithm.inherit": False, "algorithm.depths": (0.5,)},
    )
    call = json.loads((done.run.folder / "student" / "architecture.json").read_text())
    assert call["kwargs"].keys() == {"depths", "dims", "kernel_sizes"}
    assert done.result["parameters"] > 0


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("diswot", {"student": "test_efficientnet"}, "takes ResNets and ConvNeXts as --student"),
        ("dna", {"algorithm.max_params": 1000}, "no architecture has at most 1,000 parameters"),
        ("dna", {"teacher": None}, "pass --teacher MODEL"),
        ("sandwich", {"epochs": 1}, "needs at least --epochs 2"),
        ("sandwich", {"scheme": "mutual"}, "take a scheme with one"),
        ("sandwich", {"algorithm.kernels": (4,)}, "must be odd"),
    ],
)
def test_what_cannot_work_is_refused(method, settings, message, experiment):
    with pytest.raises(KdzooError, match=message):
        experiment(method, **{"epochs": 2, **SHORT, **settings})
