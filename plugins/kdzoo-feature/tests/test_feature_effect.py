"""Effects of the method on digits. `make effects` runs them over several seeds.

The margins held over ten seeds: python benchmarks/effects.py --seeds 10
"""

import pytest
import torch


def explained(fitnet):
    """The part of the variance of the teacher's deepest map that the regressed student accounts for."""
    knowledge = fitnet.run.connectors["student", "teacher"].module
    student, teacher = (fitnet.answer(role, -1).features[0] for role in ("student", "teacher"))
    with torch.no_grad():
        error = knowledge.regressors[-1](student) - teacher
    return 1 - (error.square().mean() / (teacher - teacher.mean(dim=0)).square().mean()).item()


@pytest.mark.slow
def test_hints_stand_in_for_labels(experiment, beats):
    """`fitnet` with 20 labels and hints on 1,257 images, against the 20 labels alone"""
    fitnet = experiment("fitnet", epochs=8, labels_per_class=2, **{"knowledge.stages": (-3, -2, -1)})
    control = experiment("baseline", epochs=8 * 19, train_per_class=2)
    beats("accuracy, %", fitnet.accuracy, control.accuracy, by=10)
    beats("explained variance of the hint", explained(fitnet), 0.0, by=0.5)
