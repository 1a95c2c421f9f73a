import numpy as np
import pytest
import timm
import torch
from torch.autograd import gradcheck

from kdzoo.api import Backbone, Batch, KdzooError
from kdzoo_attention.functional import pool_tokens, token_attention_loss, value_relations
from kdzoo_attention.token_attention import AttentionWeights, ValueRelations
from kdzoo_attention.vit_attention import ViTAttention

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
BATCH = Batch(torch.arange(3), {"image": IMAGES})


def normal(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def attention(seed, *shape):
    return torch.softmax(normal(seed, *shape), dim=-1)


def vit(name="test_vit", patch=8, size=32, **settings):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, img_size=size, patch_size=patch, **settings)
    return Backbone(model, input_size=(size, size)).eval()


def taught(student, teacher, **settings):
    knowledge = ViTAttention(**settings)
    ours = student(IMAGES, probes=knowledge.taps.probes_of("student"))
    with torch.no_grad():
        theirs = teacher(IMAGES, probes=knowledge.taps.probes_of("teacher"))
    knowledge.build(ours, theirs, None)
    return knowledge(ours, theirs, BATCH)


def test_it_is_the_divergence_averaged_over_heads_and_tokens():
    student, teacher = attention(0, 2, 3, 4, 4), attention(1, 2, 3, 4, 4)
    loss = token_attention_loss(student, teacher, reduction="none")
    expected = (teacher * (teacher / student).log()).numpy().sum(axis=3).mean(axis=(1, 2))
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-9)
    assert token_attention_loss(student, teacher).item() == pytest.approx(expected.mean())


def test_heads_are_averaged_where_they_cannot_be_matched():
    student, teacher = attention(0, 2, 3, 4, 4), attention(1, 2, 2, 4, 4)
    averaged = token_attention_loss(student.mean(1, keepdim=True), teacher.mean(1, keepdim=True))
    torch.testing.assert_close(token_attention_loss(student, teacher), averaged)
    torch.testing.assert_close(token_attention_loss(student, teacher, heads="mean"), averaged)
    with pytest.raises(ValueError, match="matched"):
        token_attention_loss(student, teacher, heads="match")


def test_value_relations_are_their_definition():
    values = normal(0, 2, 3, 4, 5)
    expected = torch.softmax(torch.einsum("band,bamd->banm", values, values) / 5**0.5, dim=3)
    torch.testing.assert_close(value_relations(values), expected)


def test_pooling_tokens_averages_those_that_look_and_sums_those_looked_at():
    whole = attention(0, 2, 3, 16, 16)
    cells = torch.arange(16).reshape(2, 2, 2, 2).permute(0, 2, 1, 3).reshape(4, 4)
    expected = torch.stack(
        [
            torch.stack([whole[:, :, cells[i]][..., cells[j]].sum(-1).mean(-1) for j in range(4)], dim=-1)
            for i in range(4)
        ],
        dim=2,
    )
    torch.testing.assert_close(pool_tokens(whole, 2), expected)
    torch.testing.assert_close(pool_tokens(whole, 4), whole)
    cut = whole[:, :, 7:, 7:]  # as after the class token is left out, rows no longer sum to 1
    torch.testing.assert_close(pool_tokens(cut, 3), cut / cut.sum(-1, keepdim=True))


def test_gradients_are_right():
    student, teacher = normal(0, 2, 2, 4, 4).requires_grad_(), normal(1, 2, 3, 4, 4).requires_grad_()
    assert gradcheck(lambda s, t: token_attention_loss(s.softmax(3), t.softmax(3)), (student, teacher))
    assert gradcheck(lambda s: pool_tokens(s.softmax(3), 1), (student,))
    assert gradcheck(value_relations, (normal(2, 2, 2, 3, 2).requires_grad_(),))


def test_attention_that_underflows_is_harmless():
    scores = torch.tensor([[[[0.0, 300.0], [0.0, 0.0]]]], requires_grad=True)
    loss = token_attention_loss(scores.softmax(3), torch.full((1, 1, 2, 2), 0.5))
    (gradient,) = torch.autograd.grad(loss, scores)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_what_is_read_is_the_attention_of_the_block():
    """The block's output follows from the weights that were read, whatever kernel the block itself takes."""
    backbone = vit()
    module = backbone.model.blocks[-2].attn
    seen = {}
    handle = module.register_forward_hook(lambda _, inputs, output: seen.update(read=inputs[0], gave=output))
    probes = AttentionWeights((-2,)), ValueRelations((-2,))
    with torch.no_grad():
        output = backbone(IMAGES, probes=probes)
        handle.remove()
        weights, patches = output.extras[probes[0]]
        queries, keys, values = module.qkv(seen["read"]).reshape(3, 17, 3, 2, 32).permute(2, 0, 3, 1, 4)
        torch.testing.assert_close(weights, torch.softmax(queries @ keys.transpose(2, 3) / 32**0.5, dim=3))
        torch.testing.assert_close(module.proj((weights @ values).transpose(1, 2).flatten(2)), seen["gave"])
        torch.testing.assert_close(output.extras[probes[1]][0], value_relations(values))
    torch.testing.assert_close(patches, weights[:, :, 1:, 1:])


def test_fused_attention_is_off_for_one_pass_only():
    backbone = vit()
    modules = [block.attn for block in backbone.model.blocks]
    before = [module.fused_attn for module in modules]
    assert all(before)
    during = []
    handle = modules[-1].register_forward_pre_hook(lambda module, _: during.append(module.fused_attn))
    with torch.no_grad():
        plain = backbone(IMAGES).logits
        probed = backbone(IMAGES, probes=(AttentionWeights(), AttentionWeights((-2, -1)))).logits
    handle.remove()
    assert during == [True, False]
    assert [module.fused_attn for module in modules] == before
    torch.testing.assert_close(probed, plain)


@pytest.mark.parametrize("value_weight", [0.0, 1.0])
def test_nothing_to_learn_from_an_equal(value_weight):
    loss = taught(vit(), vit(), value_weight=value_weight)
    assert loss.shape == (3,)
    assert loss.abs().max().item() < 1e-6


@pytest.mark.parametrize(
    ("teacher", "settings"),
    [
        ({"name": "test_vit2"}, {}),  # the same tokens and heads, another depth
        ({"name": "test_vit3"}, {}),  # three heads instead of two
        ({"name": "test_vit3", "patch": 4}, {"blocks": (-2, -1)}),  # 8x8 patches instead of 4x4
        ({"name": "test_vit_relpos"}, {}),  # no class token
        ({"name": "test_vit", "size": 48}, {"value_weight": 0.0}),  # 6x6 patches
    ],
)
def test_every_block_up_to_the_compared_one_learns(teacher, settings):
    student = vit()
    loss = taught(student, vit(**teacher), **settings)
    assert loss.shape == (3,)
    assert (loss > 0).all()
    loss.mean().backward()
    for block in student.model.blocks:
        assert block.attn.qkv.weight.grad.abs().sum() > 0
    assert student.model.head.weight.grad is None


def test_values_and_blocks_add_up():
    student, teacher = vit(), vit("test_vit2")
    attention, both, double = (taught(student, teacher, value_weight=weight) for weight in (0.0, 1.0, 2.0))
    torch.testing.assert_close(both - attention, double - both)
    assert (both - attention).abs().min() > 0
    last, before = (taught(student, teacher, blocks=(block,)) for block in (-1, -2))
    torch.testing.assert_close(taught(student, teacher, blocks=(-2, -1)), (last + before) / 2)
    other = taught(student, teacher, blocks=(-1,), teacher_blocks=(-2,))
    assert not torch.allclose(other, last)


def test_relations_are_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = vit()(IMAGES, probes=(ValueRelations(),))
    assert output.extras[ValueRelations()][0].dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("test_resnet", {}, "ResNet has none that can be read"),
        ("swin_tiny_patch4_window7_224", {"img_size": 32, "window_size": 2}, "attends otherwise"),
        ("cait_xxs24_224", {"img_size": 32}, "set knowledge.value_weight=0"),
    ],
)
def test_other_networks_are_refused(name, settings, why):
    torch.manual_seed(0)
    size = settings.get("img_size", 32)
    teacher = Backbone(timm.create_model(name, num_classes=5, **settings), input_size=(size, size)).eval()
    blocks = {"teacher_blocks": (-9,)} if "swin" in name else {}
    with pytest.raises(KdzooError, match=why):
        taught(vit(), teacher, **blocks)


def test_what_does_not_fit_is_refused():
    with pytest.raises(KdzooError, match=r"knowledge\.heads=mean"):
        taught(vit(), vit("test_vit3"), heads="match")
    with pytest.raises(KdzooError, match="no block -7"):
        taught(vit(), vit(), blocks=(-7,))
    with pytest.raises(KdzooError, match="teacher_blocks"):
        ViTAttention(blocks=(-1,), teacher_blocks=(-2, -1))
    with pytest.raises(ValueError, match="same N"):
        token_attention_loss(attention(0, 2, 2, 4, 4), attention(1, 2, 2, 5, 5))
    with pytest.raises(ValueError, match="no square grid"):
        pool_tokens(attention(0, 2, 2, 5, 5), 1)
    with pytest.raises(ValueError, match="'all'"):
        token_attention_loss(attention(0, 2, 2, 4, 4), attention(1, 2, 2, 4, 4), heads="all")
    with pytest.raises(ValueError, match="'sum'"):
        token_attention_loss(attention(0, 2, 2, 4, 4), attention(1, 2, 2, 4, 4), reduction="sum")
