"""Twenty random pairs out of timm's registry take two steps without a layer being named."""

import pytest
import timm
import torch

# Drawn by: python benchmarks/draw_pairs.py --seed 1
MODELS = [
    "test_vit2",
    "crossvit_tiny_240",
    "efficientvit_m3",
    "shvit_s1",
    "pvt_v2_b0",
    "test_nfnet",
    "efficientvit_b0",
    "coat_tiny",
    "pit_ti_224",
    "gmixer_12_224",
    "edgenext_xx_small",
    "cspnext_s",
    "deit_tiny_distilled_patch16_224",
    "mobileone_s0",
    "mobilevit_s",
    "lcnetv2_base",
    "regnety_008_tv",
    "mixer_s16_224",
    "test_vit_relpos",
    "xcit_tiny_12_p16_224",
    "vit_tiny_patch16_dinov3_qkvb",
    "repvit_m0_9",
    "mambaout_femto",
    "cs3darknet_s",
    "maxvit_rmlp_pico_rw_256",
    "efficientnet_em",
    "convnext_femto",
    "rexnetr_130",
    "ghostnet_050",
    "starnet_s100",
    "ese_vovnet19b_slim_dw",
    "fastvit_t8",
    "hardcorenas_f",
    "hgnetv2_b0",
    "levit_128s",
    "densenet121",
    "cpubone_t0",
    "gmlp_ti16_224",
    "resmlp_12_224",
    "mobilenetv4_conv_small_035",
]
PAIRS = list(zip(MODELS[::2], MODELS[1::2], strict=True))


def test_the_pairs_differ_in_size_and_normalisation():
    assert len(PAIRS) == 20
    configs = [timm.get_pretrained_cfg(name) for name in MODELS]
    assert len({config.input_size for config in configs}) >= 3
    assert len({config.mean for config in configs}) >= 2
    assert len({config.fixed_input_size for config in configs}) == 2


@pytest.mark.parametrize(("teacher", "student"), PAIRS, ids=lambda name: name)
def test_two_steps_of_hints_and_of_logits(make_run, teacher, student, tmp_path):
    path = tmp_path / "teacher.pth"
    torch.manual_seed(0)
    torch.save(timm.create_model(teacher, num_classes=4).state_dict(), path)
    names = {"roles.teacher.model": teacher, "roles.teacher.checkpoint": path}
    run = make_run("fitnet", student=student, knowledge=["fitnet", "kd"], **names)
    run.data.train.size, run.data.train.pixels = 2, 64
    for number, batch in enumerate(run.data.train):
        batch = run.begin_step(number, batch)
        teach = run.teach(batch)
        assert all(loss > 0 for loss in run.lessons.part_losses.values())
        assert set(run.lessons.part_losses) == {"fitnet", "kd"}
        run.update(run.task("student", batch) + teach, "student", "knowledge")
        run.end_step()
    assert run.finite
