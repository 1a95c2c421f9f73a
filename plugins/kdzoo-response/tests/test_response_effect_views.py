"""What a second, strongly varied view is good for: Jin, Wang and Lin 2023."""

import pytest
import torch

from kdzoo.counter_rng import key
from kdzoo.data.auto_augment import AutoAugment


@pytest.mark.slow
def test_the_student_follows_the_teacher_where_pictures_vary_strongly(experiment, beats):
    """`mlkd-views` on 1,257 unlabelled images, against `mlkd` of twice the epochs: strongly varied test images"""
    only = {"labels_per_class": 0, "algorithm.task_weight": 0.0, "algorithm.teach_weight": 1.0}

    def agreement(one):
        images = torch.cat([batch.inputs["image"] for batch in one.run.data.test])
        varied = AutoAugment("fixmatch")(images.clone(), key("test"), torch.arange(len(images)))
        with torch.no_grad():
            student, teacher = (
                one.run.roles[role].eval()(varied).logits.argmax(1) for role in ("student", "teacher")
            )
        return (student == teacher).float().mean().item() * 100

    both = agreement(experiment("mlkd-views", epochs=8, **only))
    beats("agreement with the teacher, %", both, agreement(experiment("mlkd", epochs=16, **only)), by=5)
