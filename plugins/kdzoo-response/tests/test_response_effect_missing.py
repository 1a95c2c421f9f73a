"""What the wrong classes' probabilities are good for: Hinton et al. 2014, section 3. A digit is never shown."""

from dataclasses import replace

import pytest
import torch

from kdzoo.builtin.distill import Distill

MISSING = 3


class WithoutTheDigit(Distill):
    """Distils on the training images of all classes but one."""

    def phases(self, run):
        [phase] = super().phases(run)
        others = (run.data.labels != MISSING).nonzero().flatten()

        def step(batch):
            assert (batch.target != MISSING).all()
            return phase.step(batch)

        yield replace(phase, data=run.data.select(others), step=step)


def recall_when_corrected(one, images, teacher):
    """How many test images of the missing digit are found, in percent, once its bias is corrected.

    The bias is so chosen that the student says the digit as often as the teacher does, on training images of
    all digits. No label is used and no weight but the one bias is changed.
    """
    network = one.run.roles["student"].eval()
    with torch.no_grad():
        logits = network(images).logits
    others = logits.clone()
    others[:, MISSING] = -torch.inf
    lacking = (others.amax(dim=1) - logits[:, MISSING]).sort().values
    bias = lacking[int((teacher.argmax(dim=1) == MISSING).sum()) - 1]
    answer = one.answer("student").logits
    answer[:, MISSING] += bias
    truth = torch.cat([batch.target for batch in one.run.data.test])
    return (answer.argmax(dim=1) == MISSING)[truth == MISSING].float().mean().item() * 100


@pytest.mark.slow
def test_kd_finds_a_digit_that_the_student_was_never_shown(experiment, beats):
    """`kd` without any image of the digit 3, its bias corrected on the teacher's outputs, against hard labels"""
    soft = {"algorithm.task_weight": 0.0, "algorithm.teach_weight": 1.0}
    complete = experiment("kd", epochs=8, labels_per_class=0, **soft)
    data, network = complete.run.data, complete.run.roles["teacher"]
    images = torch.cat([batch.inputs["image"] for batch in data.train])
    with torch.no_grad():
        teacher = network(images).logits
    never = {"epochs": 20, "roles.teacher.checkpoint": complete.result["teacher_path"]}
    kd = experiment("kd", WithoutTheDigit, **never, **soft, **{"knowledge.temperature": 20.0})
    hard = experiment("baseline", WithoutTheDigit, **never)
    figures = [recall_when_corrected(one, images, teacher) for one in (kd, hard)]
    beats("threes found, %", *figures, by=8)
