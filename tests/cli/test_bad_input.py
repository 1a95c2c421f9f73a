"""Bad input: one clear line that names what is wrong, exit code 2, and nothing half-written."""

import resource

import pytest
from PIL import Image

NETWORKS = (
    "--teacher",
    "test_resnet",
    "--student",
    "test_efficientnet",
    "--set",
    "observers=[]",
    "--epochs",
    "1",
)


@pytest.fixture
def folder(tmp_path):
    """An image folder: two classes, four images each for training, two for testing."""
    for split, count in (("train", 4), ("test", 2)):
        for number, name in enumerate(("cat", "dog")):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for index in range(count):
                image = Image.new("RGB", (32, 32), (40 * index, 100 * number, 60))
                image.save(tmp_path / "images" / split / name / f"{index}.png")
    return tmp_path / "images"


def refused(answer, *parts: str) -> None:
    assert answer.code == 2, answer.err
    assert answer.err.count("\n") == 1, answer.err
    for part in parts:
        assert part in answer.err


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (("--method", "dkdd"), ("unknown method 'dkdd'", "did you mean dkd")),
        (("--method", "kd", "--knowledge", "rkdd"), ("unknown knowledge 'rkdd'", "rkd")),
        (("--method", "kd", "--scheme", "mutal"), ("unknown scheme 'mutal'", "did you mean mutual")),
        (
            ("--method", "kd", "--set", "knowledge.temperature=0"),
            ("--set", "knowledge.temperature", "greater than 0"),
        ),
        (("--method", "kd", "--lr", "-1"), ("--lr", "optim.lr", "greater than 0")),
        (("--method", "kd", "--opt", "adamm"), ("optim.opt 'adamm'",)),
        (("--method", "kd", "--student", "resnet_18"), ("unknown timm model 'resnet_18'", "resnet18")),
        (("--method", "baseline", "--teacher", "resnet_18"), ("unknown timm model 'resnet_18'", "resnet18")),
        (("--method", "dml", "--teacher", "resnet_18"), ("unknown timm model 'resnet_18'", "resnet18")),
        (("--method", "byot", "--teacher", "local-dir:gone"), ("gone",)),
        (
            ("--method", "kd", "--algorithm", "qat", "--set", "algorithm.bits=4"),
            ("--set: unknown hyper-parameter 'bits' of algorithm 'qat'", "did you mean weight_bits"),
        ),
        (("--method", "kd", "--dataset", "digitz"), ("digitz",)),
        (("--method", "kd", "--data-dir", "nowhere"), ("nowhere",)),
        (("--method", "kd", "--teacher-checkpoint", "gone.pth"), ("gone.pth", "no such file")),
        (("--method", "kd", "--teacher", "local-dir:gone"), ("gone",)),
        (("--method", "kd", "--recipe", "gone.yaml"), ("gone.yaml",)),
        (("--method", "fitnet", "--set", "knowledge.stages=[-9]"), ("test_efficientnet", "5 stages", "-9")),
        ((), ("--method",)),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_a_bad_flag_is_refused(kdzoo, tmp_path, monkeypatch, flags, parts):
    monkeypatch.chdir(tmp_path)
    checkpoint = () if "--teacher-checkpoint" in flags else ("--teacher-checkpoint", weights(tmp_path, 10, 1))
    checkpoint = (*checkpoint, "--set", "roles.teacher.trust=true")  # its weights are random
    refused(kdzoo("distill", *NETWORKS, *checkpoint, "--output", tmp_path / "run", *flags), *parts)
    assert not (tmp_path / "run").exists(), "nothing half-written"


def test_resume_without_a_folder_is_refused(kdzoo):
    refused(kdzoo("distill", "--method", "baseline", *NETWORKS, "--resume"), "--resume needs --output")


def weights(tmp_path, classes: int, channels: int = 3):
    import timm
    import torch

    path = tmp_path / f"teacher{classes}.pth"
    torch.save(timm.create_model("test_resnet", num_classes=classes, in_chans=channels).state_dict(), path)
    return path


def test_a_teacher_with_other_classes_is_refused(kdzoo, folder, tmp_path):
    flags = ("--data-dir", folder, "--teacher-checkpoint", weights(tmp_path, 7), "--output", tmp_path / "run")
    refused(kdzoo("distill", "--method", "kd", *NETWORKS, *flags), "teacher7.pth", "7", "2")


def test_a_corrupt_teacher_file_is_refused(kdzoo, folder, tmp_path):
    path = weights(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:5000])
    flags = ("--data-dir", folder, "--teacher-checkpoint", path, "--output", tmp_path / "run")
    refused(kdzoo("distill", "--method", "kd", *NETWORKS, *flags), "teacher2.pth")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("data.batch_size=1", "data.batch_size: a batch of one sample"),
        ("data.augment.crop=33", "data.augment.crop 33: at most the side of the images, 32 pixels"),
        ("roles.teacher.modality=heat", "roles.teacher.modality 'heat': the data has image"),
        ("roles.student.modality=heat", "roles.student.modality 'heat': the data has image"),
    ],
)
def test_what_only_the_data_show_is_refused_before_anything_is_left(kdzoo, folder, tmp_path, setting, says):
    flags = ("--data-dir", folder, "--output", tmp_path / "run", "--set", setting)
    refused(kdzoo("distill", "--method", "kd", *NETWORKS, *flags), says)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("flag", ["--output", "--data-dir", "--teacher-checkpoint", "--recipe"])
def test_a_path_that_is_too_long_is_one_line(kdzoo, tmp_path, flag):
    refused(
        kdzoo("distill", "--method", "kd", *NETWORKS, "--output", tmp_path / "run", flag, "a" * 300),
        "too long",
    )


def test_digits_that_no_memory_holds_are_refused(kdzoo, tmp_path):
    flags = ("--img-size", "4096", "--output", tmp_path / "run")
    refused(
        kdzoo("distill", "--method", "baseline", *NETWORKS, *flags),
        "data.img_size",
        "4096 x 4096 pixels",
        "GB",
    )
    assert not (tmp_path / "run").exists()


def test_classes_that_differ_between_splits_are_refused(kdzoo, folder, tmp_path):
    (folder / "test" / "dog").rename(folder / "test" / "bird")
    answer = kdzoo(
        "distill", "--method", "baseline", *NETWORKS, "--data-dir", folder, "--output", tmp_path / "run"
    )
    refused(answer, "bird", "dog")


def test_a_folder_without_images_is_refused(kdzoo, tmp_path):
    (tmp_path / "empty" / "train" / "cat").mkdir(parents=True)
    (tmp_path / "empty" / "test" / "cat").mkdir(parents=True)
    flags = ("--data-dir", tmp_path / "empty", "--output", tmp_path / "run")
    refused(kdzoo("distill", "--method", "baseline", *NETWORKS, *flags), "empty", "no image")


def test_too_many_unreadable_images_are_refused_by_name(kdzoo, folder, tmp_path):
    (folder / "train" / "cat" / "0.png").write_bytes(b"\x89PNG no more")
    flags = ("--data-dir", folder, "--output", tmp_path / "run")
    refused(kdzoo("distill", "--method", "baseline", *NETWORKS, *flags), "0.png")


def test_a_model_that_cannot_take_the_size_is_refused(kdzoo, folder, tmp_path):
    flags = (
        "--data-dir",
        folder,
        "--student",
        "test_vit",
        "--student-img-size",
        "33",
        "--output",
        tmp_path / "run",
    )
    refused(kdzoo("distill", "--method", "baseline", *NETWORKS, *flags), "test_vit", "33")


def test_a_folder_that_holds_a_run_is_not_overwritten(kdzoo, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text("{}\n")
    refused(
        kdzoo("distill", "--method", "baseline", *NETWORKS, "--output", run),
        "already holds a run",
        "--resume",
    )
    assert (run / "metrics.jsonl").read_text() == "{}\n"


def test_a_full_disk_is_one_line_and_leaves_no_half_checkpoint(kdzoo, folder, tmp_path):
    """A limit on the size of files stands in for a disk without space: the same error comes back."""
    run = tmp_path / "run"
    flags = ("--data-dir", folder, "--output", run, "-b", "4", "--set", "checkpoint_seconds=0")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        answer = kdzoo("distill", "--method", "baseline", *NETWORKS, *flags)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    refused(answer, "last.ckpt", "cannot be written", "File too large")
    assert not list(run.glob("checkpoint/*"))


def test_an_output_that_is_a_file_is_refused(kdzoo, tmp_path):
    (tmp_path / "run").write_text("mine")
    refused(
        kdzoo("distill", "--method", "baseline", *NETWORKS, "--output", tmp_path / "run"),
        str(tmp_path / "run"),
    )
    assert (tmp_path / "run").read_text() == "mine"


def test_a_corrupt_checkpoint_is_refused(kdzoo, folder, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoint").mkdir(parents=True)
    (run / "checkpoint" / "last.ckpt").write_bytes(b"PK\x03\x04 no more")
    flags = ("--data-dir", folder, "--output", run, "--resume")
    refused(
        kdzoo("distill", "--method", "baseline", *NETWORKS, *flags), "last.ckpt", "not a readable checkpoint"
    )


def test_a_checkpoint_of_another_recipe_is_refused(kdzoo, folder, tmp_path):
    flags = ("--data-dir", folder, "--output", tmp_path / "run", "-b", "4")
    first = ("distill", "--method", "baseline", *NETWORKS, *flags)
    assert kdzoo(*first).code == 0
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    refused(
        kdzoo(*first, "--resume", "--lr", "0.5"),
        "run: cannot resume: optim.lr was 0.002 and is 0.5 now; resume without --lr, or take another --output",
    )


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(kdzoo, folder, tmp_path):
    flags = ("--data-dir", folder, "--output", tmp_path / "run", "-b", "4", "--opt", "sgd", "--lr", "1e30")
    more = ("--set", "checkpoint_seconds=0", "--set", "optim.warmup_epochs=0", "--epochs", "50")
    answer = kdzoo("distill", "--method", "baseline", *NETWORKS, *flags, *more)
    refused(answer, "not finite", "last good checkpoint")
    assert not (tmp_path / "run" / "student").exists()


def test_a_teacher_whose_loss_is_not_finite_is_named(kdzoo, folder, tmp_path):
    flags = (
        "--data-dir",
        folder,
        "--output",
        tmp_path / "run",
        "-b",
        "4",
        "--opt",
        "sgd",
        "--teacher-lr",
        "1e30",
    )
    more = ("--set", "checkpoint_seconds=0", "--set", "optim.warmup_epochs=0", "--teacher-epochs", "50")
    answer = kdzoo("distill", "--method", "kd", *NETWORKS, *flags, *more)
    refused(answer, "teacher test_resnet, which is trained first: the loss is not finite", "--teacher-lr")
    assert not (tmp_path / "run").exists()


def test_a_plugin_that_fails_to_import_is_named_when_it_is_needed(kdzoo, tmp_path, monkeypatch):
    info = tmp_path / "kdzoo_torn-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kdzoo-torn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[kdzoo]\ntorn = kdzoo_torn\n")
    (tmp_path / "kdzoo_torn.py").write_text("raise OSError('libtorn.so is missing')")
    monkeypatch.syspath_prepend(str(tmp_path))
    answer = kdzoo(
        "distill", "--method", "kd", "--knowledge", "torn", *NETWORKS, "--output", tmp_path / "run"
    )
    refused(answer, "unknown knowledge 'torn'", "kdzoo-torn", "libtorn.so is missing")
    assert kdzoo("list").code == 0
