import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional

from kdzoo_adversarial.functional import ard_loss, label_ascent, pgd, rslad_loss, start_at, teacher_ascent
from kdzoo_adversarial.functional.attack import within

EPSILON = 0.1


def images(count=4, seed=0):
    return torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def three(count=6, classes=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [2 * torch.randn(count, classes, generator=generator, dtype=torch.float64) for _ in range(3)]


def labels(count=6, classes=5):
    return torch.arange(count) % classes


def network(seed=2):
    weight = torch.randn(75, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return lambda image: (image.flatten(1) @ weight).tanh() @ torch.eye(4, dtype=torch.float64)


def test_where_the_gradient_is_constant_the_attack_goes_to_the_corner_of_the_ball():
    image = images()
    slope = torch.randn(image.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    attacked = pgd(lambda x: (x * slope).sum(), image, image, epsilon=EPSILON, step_size=EPSILON / 4, steps=4)
    torch.testing.assert_close(attacked, (image + EPSILON * slope.sign()).clamp(0, 1))


def test_one_step_by_hand():
    image = torch.tensor([[[[0.2, 0.9, 0.5]]]], dtype=torch.float64)
    start = torch.tensor([[[[0.25, 0.95, 0.5]]]], dtype=torch.float64)
    attacked = pgd(lambda x: (x**2).sum() - x.sum(), image, start, epsilon=0.08, step_size=0.06, steps=1)
    # The slope is 2 x - 1: down, up, nowhere. 0.95 + 0.06 leaves the ball, whose edge is 0.98.
    torch.testing.assert_close(attacked, torch.tensor([[[[0.19, 0.98, 0.5]]]], dtype=torch.float64))


def test_the_attack_stays_in_the_ball_and_in_the_picture_and_makes_the_objective_grow():
    answer, image, target = network(), images(), torch.arange(4)
    start = start_at(image, EPSILON, "uniform", torch.Generator().manual_seed(0))
    with torch.no_grad():
        attacked = pgd(
            lambda x: label_ascent(answer(x), target), image, start, epsilon=EPSILON, step_size=0.03, steps=10
        )
        before, after = (label_ascent(answer(one), target) for one in (image, attacked))
    assert not attacked.requires_grad
    assert (attacked - image).abs().max() <= EPSILON + 1e-12
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert after > before + 0.5


def test_samples_do_not_meddle_with_each_other():
    answer, image, target = network(), images(), torch.arange(4)
    order = torch.tensor([2, 0, 3, 1])
    settings = {"epsilon": EPSILON, "step_size": 0.03, "steps": 5}
    together = pgd(lambda x: label_ascent(answer(x), target), image, image, **settings)
    changed = pgd(lambda x: label_ascent(answer(x), target[order]), image[order], image[order], **settings)
    torch.testing.assert_close(changed, together[order])
    alone = pgd(lambda x: label_ascent(answer(x), target[:1]), image[:1], image[:1], **settings)
    torch.testing.assert_close(alone, together[:1])


def test_the_networks_parameters_get_no_gradient():
    layer = torch.nn.Linear(75, 4, dtype=torch.float64)
    image = images()
    pgd(lambda x: layer(x.flatten(1)).square().sum(), image, image, epsilon=EPSILON, step_size=0.03, steps=2)
    assert layer.weight.grad is None
    assert image.grad is None


def test_no_step_is_the_start():
    image = images()
    start = start_at(image, EPSILON, "uniform", torch.Generator().manual_seed(0))
    same = pgd(lambda x: x.sum(), image, start, epsilon=EPSILON, step_size=0.1, steps=0)
    torch.testing.assert_close(same, start, rtol=0, atol=0)


def test_starts():
    image = images(64, seed=1)  # not the numbers that the starts are drawn from
    uniform, again, near, none = (
        start_at(image, EPSILON, kind, torch.Generator().manual_seed(0))
        for kind in ("uniform", "uniform", "near", "none")
    )
    torch.testing.assert_close(uniform, again, rtol=0, atol=0)
    inside = (image > EPSILON) & (image < 1 - EPSILON)
    moved = (uniform - image)[inside]
    assert moved.abs().max() <= EPSILON
    assert moved.std().item() == pytest.approx(EPSILON / 3**0.5, rel=0.05)
    assert (near - image)[inside].std().item() == pytest.approx(1e-3, rel=0.05)
    torch.testing.assert_close(none, image, rtol=0, atol=0)
    assert uniform.min() >= 0
    assert uniform.max() <= 1


def test_a_start_does_not_depend_on_how_the_image_lies_in_memory():
    image = images()
    plain, other = (
        start_at(one, EPSILON, "uniform", torch.Generator().manual_seed(0))
        for one in (image, image.contiguous(memory_format=torch.channels_last))
    )
    torch.testing.assert_close(plain, other, rtol=0, atol=0)


def test_within_is_the_nearest_point():
    image = torch.tensor([0.05, 0.5, 0.95])
    torch.testing.assert_close(
        within(torch.tensor([-1.0, 0.53, 2.0]), image, 0.1), torch.tensor([0.0, 0.53, 1.0])
    )


def divergence(teacher, student):
    """KL(teacher || student) from its definition, for each sample."""
    t, s = teacher.exp() / teacher.exp().sum(1, True), student.exp() / student.exp().sum(1, True)
    return (t * (t / s).log()).sum(1)


@pytest.mark.parametrize("alpha", [1.0, 0.7])
def test_ard_is_what_the_paper_says(alpha):
    attacked, clean, teacher = three()
    p = clean.exp() / clean.exp().sum(1, True)
    label = -p[torch.arange(6), labels()].log().mean()
    expected = (1 - alpha) * label + alpha * 900 * divergence(teacher / 30, attacked / 30).mean()
    torch.testing.assert_close(ard_loss(attacked, clean, teacher, labels(), alpha=alpha), expected)


def test_rslad_is_what_the_paper_says():
    attacked, clean, teacher = three()
    expected = (divergence(teacher, clean) + 5 * divergence(teacher, attacked)).mean() / 6
    torch.testing.assert_close(rslad_loss(attacked, clean, teacher), expected)


def test_the_authors_means_differ_by_the_number_of_classes():
    """Their code takes the mean over samples and classes; RSLAD's adds 1e-5 in the logarithm of a constant."""
    attacked, clean, teacher = three()
    theirs = 900 * functional.kl_div(
        (attacked / 30).log_softmax(1), (teacher / 30).softmax(1), reduction="none"
    )
    torch.testing.assert_close(ard_loss(attacked, clean, teacher, labels()), 5 * theirs.mean())
    attacked.requires_grad_()
    constant = teacher.softmax(1)
    code = 5 / 6 * ((constant + 1e-5).log() * constant - attacked.log_softmax(1) * constant).mean()
    (expected,) = torch.autograd.grad(5 * code, attacked)
    (found,) = torch.autograd.grad(rslad_loss(attacked, clean, teacher), attacked)
    torch.testing.assert_close(found, expected)


def test_who_answers_like_the_teacher_has_learnt_all():
    _, other, teacher = three()
    assert rslad_loss(teacher, teacher, teacher).item() == pytest.approx(0, abs=1e-12)
    assert ard_loss(teacher, other, teacher, labels()).item() == pytest.approx(0, abs=1e-9)
    assert teacher_ascent(teacher, teacher).item() == pytest.approx(0, abs=1e-12)


def test_gradients_and_order():
    attacked, clean, teacher = (one.requires_grad_() for one in three())
    assert gradcheck(lambda *logits: ard_loss(*logits, labels(), alpha=0.6), (attacked, clean, teacher))
    assert gradcheck(rslad_loss, (attacked, clean, teacher))
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    mixed = [one[order] for one in (attacked, clean, teacher)]
    torch.testing.assert_close(
        ard_loss(*mixed, labels()[order], alpha=0.6),
        ard_loss(attacked, clean, teacher, labels(), alpha=0.6),
    )
    torch.testing.assert_close(rslad_loss(*mixed), rslad_loss(attacked, clean, teacher))


def test_unlabelled_samples_have_no_first_term():
    attacked, clean, teacher = three()
    target = labels().clone()
    target[2:] = -1
    some = ard_loss(attacked, clean, teacher, target, alpha=0.0)
    torch.testing.assert_close(some, functional.cross_entropy(clean[:2], target[:2]))
    none = ard_loss(attacked, clean, teacher, torch.full((6,), -1), alpha=0.0)
    assert none.item() == 0


def test_an_ascent_is_a_sum_in_float32_at_least():
    attacked, _, teacher = three()
    torch.testing.assert_close(teacher_ascent(attacked, teacher), divergence(teacher, attacked).sum())
    torch.testing.assert_close(
        label_ascent(attacked, functional.one_hot(labels(), 5).double()), label_ascent(attacked, labels())
    )
    assert label_ascent(attacked.bfloat16(), labels()).dtype == torch.float32
    assert teacher_ascent(attacked.bfloat16(), teacher.bfloat16()).dtype == torch.float32


def test_shapes_that_differ_are_refused():
    attacked, clean, teacher = three()
    with pytest.raises(ValueError, match="both sides"):
        ard_loss(attacked[:3], clean, teacher, labels())
    with pytest.raises(ValueError, match="both sides"):
        rslad_loss(attacked, clean[:, :4], teacher)
