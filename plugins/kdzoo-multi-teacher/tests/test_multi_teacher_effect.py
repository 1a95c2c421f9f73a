"""Effects of the methods on digits. `make effects` runs them over several seeds.

The student never sees a label; labels are used only to weight teachers or train specialists.
"""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

ONLY_THE_TEACHERS = {"algorithm.task_weight": 0.0, "algorithm.teach_weight": 1.0}


@pytest.fixture(scope="session")
def teachers(tmp_path_factory, _train):
    """A good teacher's weights, and the same with every class called by the next one's name, or cooled to a guess."""
    good = _train("kd", epochs=1, seed=0).result["teacher_path"]
    weights = load_file(f"{good}/model.safetensors")
    folder = tmp_path_factory.mktemp("teachers")
    made = {"good": good}
    for name, change in {"poisoned": lambda one: one.roll(1, 0), "vague": lambda one: one * 0.05}.items():
        made[name] = str(folder / f"{name}.safetensors")
        classifier = {key: change(weights[key]).contiguous() for key in ("fc.weight", "fc.bias")}
        save_file({**weights, **classifier}, made[name])
    return made


def two(teachers, *names):
    settings = {f"roles.teacher{number}.model": "test_resnet" for number in range(1, len(names) + 1)}
    paths = {f"roles.teacher{number}.checkpoint": teachers[name] for number, name in enumerate(names, 1)}
    paths |= {
        f"roles.teacher{number}.trust": True for number in range(1, len(names) + 1)
    }  # some are bad on purpose
    return {**ONLY_THE_TEACHERS, **settings, **paths}


@pytest.mark.slow
def test_ca_mkd_does_not_trust_a_teacher_whose_labels_are_wrong(experiment, beats, teachers):
    """`ca-mkd` with one good teacher and one that calls every class by the next one's name, against `avg`"""
    both = two(teachers, "good", "poisoned")
    aware = experiment("ca-mkd", epochs=8, **both, **{"algorithm.feature_weight": 0.0})
    average = experiment("avg", epochs=8, **both)
    beats("accuracy, %", aware.accuracy, average.accuracy, by=25)
    beats("accuracy, %, against 95", aware.accuracy, 95.0, by=0)


def confidence(one):
    """How much of its probability the student gives to the right class."""
    target = torch.cat([batch.target for batch in one.run.data.test])
    return F.softmax(one.answer("student").logits, dim=1).gather(1, target[:, None]).mean().item()


@pytest.mark.slow
def test_ebkd_listens_to_the_teacher_who_is_sure(experiment, beats, teachers):
    """`ebkd` with one sure teacher and one that hardly prefers any class, against `avg`"""
    both = {**two(teachers, "good", "vague"), "knowledge.temperature": 1.0}
    ebkd, average = (experiment(method, epochs=8, **both) for method in ("ebkd", "avg"))
    beats("probability of the right class", confidence(ebkd), confidence(average), by=0.2)


def worst(one):
    """The student's divergence from the teacher that it follows least."""
    student = one.answer("student").logits.log_softmax(1)
    teachers = [one.answer(f"teacher{number}").logits.log_softmax(1) for number in (1, 2, 3)]
    return max(F.kl_div(student, log_p, reduction="batchmean", log_target=True).item() for log_p in teachers)


@pytest.mark.slow
def test_aekd_sacrifices_no_teacher(experiment, beats, teachers):
    """`aekd` with two teachers that agree and one that contradicts them, against `avg`"""
    three = {**two(teachers, "good", "good", "poisoned"), "scheme.teachers": 3}
    aekd, average = (experiment(method, epochs=8, **three) for method in ("aekd", "avg"))
    beats("divergence from the worst served (control: aekd)", worst(average), worst(aekd), by=0.2)


GROUPS = {"algorithm.groups": ((0, 1, 2, 3), (3, 4, 5, 6), (6, 7, 8, 9))}


@pytest.mark.slow
def test_specialists_together_know_what_none_of_them_knows(experiment, beats):
    """`specialists`: three with four digits each and no generalist, against the best of them alone"""
    merged = experiment("specialists", epochs=8, **GROUPS, **{"algorithm.generalist": False})
    target = torch.cat([batch.target for batch in merged.run.data.test])
    ceiling = max(
        100 * torch.isin(target, torch.tensor(group)).float().mean().item()
        for group in GROUPS["algorithm.groups"]
    )
    beats("accuracy, %", merged.accuracy, ceiling, by=30)


@pytest.mark.slow
def test_an_ensemble_of_initialisations_teaches_better_than_its_members(experiment, beats):
    """`avg` of four weak teachers from four initialisations, against its members one by one"""
    weak = {**ONLY_THE_TEACHERS, "teacher_epochs": 3, "labels_per_class": 0}
    ensemble = experiment(
        "avg", epochs=8, **weak, **{"scheme.teachers": 4, "scheme.average": "probabilities"}
    )
    members = [experiment("kd", epochs=8, **weak, **{"roles.teacher.seed": seed}) for seed in (1, 2, 3, 4)]
    beats("accuracy, %", ensemble.accuracy, sum(one.accuracy for one in members) / 4, by=1.4)
