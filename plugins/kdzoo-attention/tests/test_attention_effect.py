"""What the methods are good for, on digits. `make effects` runs this over several seeds.

The margin of the peculiar cosine of `at` held over ten seeds, the others over those that the card names:
python benchmarks/effects.py --seeds 10
"""

import torch
from torch.nn import functional as F

STAGES = (-4, -3, -2)


def maps(one, role):
    """Attention maps of the test images at each stage."""
    return [
        F.normalize(stage.square().mean(dim=1).flatten(1), dim=1)
        for stage in one.answer(role, *STAGES).features
    ]


def peculiar(one, role):
    """Attention maps less the average over all images, which alone is already much like every image's map."""
    return [stage - stage.mean(dim=0) for stage in maps(one, role)]


def likeness(ours, theirs):
    """Mean cosine over stages and images."""
    pairs = zip(ours, theirs, strict=True)
    return torch.stack([F.cosine_similarity(*pair).mean() for pair in pairs]).mean().item()


def test_the_student_looks_where_the_teacher_looks(experiment, beats):
    """`at` with 50 labels and 1,257 unlabelled images, against the 50 labels alone"""
    at = experiment("at", epochs=8, labels_per_class=5)
    control = experiment("baseline", epochs=8 * 19, train_per_class=5)
    pairs = {one: likeness(maps(one, "student"), maps(at, "teacher")) for one in (at, control)}
    assert pairs[at] > 0.95
    beats("cosine of the maps", pairs[at], pairs[control], by=0.07)
    pairs = {one: likeness(peculiar(one, "student"), peculiar(at, "teacher")) for one in (at, control)}
    beats("cosine of what is peculiar to an image's map", pairs[at], pairs[control], by=0.4)


def test_links_that_are_learned_are_followed(experiment, beats):
    """`afd` with 50 labels and 1,257 unlabelled images, against the 50 labels alone"""
    afd = experiment("afd", epochs=8, labels_per_class=5)
    control = experiment("baseline", epochs=8 * 19, train_per_class=5)
    knowledge = afd.run.classroom.connectors["student", "teacher"].module
    with torch.no_grad():
        links = knowledge.links(afd.answer("student", *STAGES), afd.answer("teacher", *STAGES)).mean(dim=0)

    def linked(one):
        """Cosine of what is peculiar to the maps of linked stages, at the teacher's size, weighed by the link."""
        found = torch.zeros(3, 3)
        for t, theirs in enumerate(afd.answer("teacher", *STAGES).features):
            for s, ours in enumerate(one.answer("student", *STAGES).features):
                sized = F.adaptive_avg_pool2d(ours.square().mean(dim=1), theirs.shape[-1])
                pair = [
                    F.normalize(energy.flatten(1), dim=1) for energy in (sized, theirs.square().mean(dim=1))
                ]
                found[t, s] = F.cosine_similarity(*(side - side.mean(dim=0) for side in pair)).mean()
        return (links * found).sum(dim=1).mean().item()

    beats("cosine of what is peculiar to linked maps", linked(afd), linked(control), by=0.2)
