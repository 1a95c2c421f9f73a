"""What the method is good for, on digits. `make effects` runs this over several seeds.

The margins held over ten seeds: python benchmarks/effects.py --seeds 10
"""

import torch
from torch.nn import functional as F

STAGES = (-4, -3, -2)


def peculiar_maps(one, role):
    """Attention maps less the average over all images, which alone is already much like every image's map."""
    for stage in one.answer(role, *STAGES).features:
        maps = F.normalize(stage.square().mean(dim=1).flatten(1), dim=1)
        yield maps - maps.mean(dim=0)


def test_the_student_looks_where_the_teacher_looks(experiment, beats):
    """`at` with 50 labels and 1,257 unlabelled images, against the 50 labels alone"""
    at = experiment("at", epochs=8, labels_per_class=5)
    control = experiment("baseline", epochs=8 * 19, train_per_class=5)
    teacher = list(peculiar_maps(at, "teacher"))

    def likeness(one):
        pairs = zip(peculiar_maps(one, "student"), teacher, strict=True)
        return torch.stack([F.cosine_similarity(ours, theirs).mean() for ours, theirs in pairs]).mean().item()

    beats("cosine of what is peculiar to an image's map", likeness(at), likeness(control), by=0.4)
