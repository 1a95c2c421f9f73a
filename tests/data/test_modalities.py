import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from kdzoo.api import KdzooError
from kdzoo.counter_rng import key
from kdzoo.data.auto_augment import AutoAugment
from kdzoo.data.modality import COMPUTED, edges, grey, heat, low_resolution
from kdzoo.recipe.data import DataConfig

EVERYTHING = {"crop": 2, "hflip": 0.5, "rotate": 10, "erase": 0.5, "color": 0.5}


def pictures(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def sobel(image):
    """By the definition, pixel by pixel; (H, W) -> (H, W)."""
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    padded = np.pad(image, 1, mode="edge")
    out = np.empty_like(image)
    for y, x in np.ndindex(*image.shape):
        window = padded[y : y + 3, x : x + 3]
        out[y, x] = math.hypot((kernel * window).sum(), (kernel.T * window).sum())
    return out


class TestComputed:
    def test_grey_is_the_luma(self):
        images = pictures(4, 3, 5, 6)
        expected = torch.tensor([[[[0.299]], [[0.587]], [[0.114]]]]).mul(images).sum(1, keepdim=True)
        torch.testing.assert_close(grey(images), expected)
        assert grey(images[:, :1]) is not None
        assert torch.equal(grey(images[:, :1]), images[:, :1])

    def test_edges_are_sobels(self):
        images = pictures(2, 1, 6, 7)
        expected = np.stack([sobel(one[0].double().numpy()) for one in images])[:, None] / math.sqrt(20)
        torch.testing.assert_close(edges(images).double(), torch.from_numpy(expected), atol=1e-6, rtol=1e-5)

    def test_the_strongest_edge_is_one(self):
        corner = torch.tensor([[[[0.0, 1, 1], [0, 0, 1], [0, 0, 1]]]])
        assert edges(corner)[0, 0, 1, 1] == 1.0
        assert edges(torch.full((1, 3, 4, 4), 0.7)).abs().max() < 1e-6

    def test_heat_is_the_inverse_of_blurred_edges(self):
        images = pictures(2, 1, 6, 7)
        framed = torch.nn.functional.pad(edges(images), (1, 1, 1, 1), mode="replicate")
        expected = 1 - torch.nn.functional.avg_pool2d(framed, 3, 1)
        torch.testing.assert_close(heat(images), expected)

    def test_low_resolution_keeps_means_and_loses_detail(self):
        flat = torch.full((1, 3, 8, 8), 0.25)
        torch.testing.assert_close(low_resolution(flat), flat)
        board = (torch.arange(8)[:, None] + torch.arange(8)) % 2
        torch.testing.assert_close(low_resolution(board[None, None].float()), torch.full((1, 1, 8, 8), 0.5))

    @pytest.mark.parametrize("kind", COMPUTED)
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", [(32, 32), (7, 5)], ids=str)
    def test_it_stays_in_range_and_apart_from_the_batch(self, kind, channels, size):
        images = pictures(5, channels, *size)
        found = COMPUTED[kind].compute(images)
        assert found.shape == (5, COMPUTED[kind].channels(channels), *size)
        assert found.min() >= 0
        assert found.max() <= 1
        for row in range(5):
            assert torch.equal(COMPUTED[kind].compute(images[row : row + 1])[0], found[row])

    @pytest.mark.parametrize("stream", ["train", "val", "test"])
    def test_every_split_has_it_after_the_augmentation(self, open_, stream):
        data = open_(train_per_class=4, computed={"heat": "heat", "small": "low-resolution"})
        assert data.channels == {"image": 1, "heat": 1, "small": 1}
        for batch in getattr(data, stream):
            assert list(batch.inputs) == ["image", "heat", "small"]
            assert torch.equal(batch.inputs["heat"], heat(batch.inputs["image"]))
            assert batch.inputs["heat"].is_contiguous(memory_format=torch.channels_last)

    def test_it_is_fetched_too_and_streams_too(self, make_folder, open_):
        data = open_(train_per_class=4, computed={"lines": "edges"})
        batch = next(iter(data.train))
        assert torch.equal(data.fetch(batch.index).inputs["lines"], batch.inputs["lines"])
        streaming = open_(make_folder(train=4, test=1), cache_gb=0, workers=0, computed={"lines": "edges"})
        assert streaming.channels == {"image": 3, "lines": 1}
        assert next(iter(streaming.test)).inputs["lines"].shape == (3, 1, 8, 8)

    def test_it_is_of_the_mixed_images(self, open_):
        data = open_(train_per_class=4, computed={"lines": "edges"}, augment={"mixup": 1.0})
        batch = next(iter(data.train))
        assert torch.equal(batch.inputs["lines"], edges(batch.inputs["image"]))

    def test_a_recipe_may_name_every_kind(self):
        every = {kind: kind for kind in COMPUTED}
        assert DataConfig.model_validate({"computed": every}).computed == every

    def test_the_hash_covers_it(self, open_):
        found = [
            open_(train_per_class=4, computed=computed)
            for computed in ({}, {"a": "edges"}, {"a": "grey"}, {"b": "edges"}, {"a": "edges", "b": "grey"})
        ]
        assert len({one.hash for one in found}) == len({one.content_hash for one in found}) == 5
        other_order = open_(train_per_class=4, computed={"b": "grey", "a": "edges"})
        assert other_order.hash == found[-1].hash

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"computed": {"image": "edges"}}, "modality 'image' is there already"),
            ({"computed": {"a": "edges"}, "paired": {"a": "x"}}, "modality 'a' is there already"),
            ({"computed": {"a": "depth"}}, "'edges', 'grey', 'heat' or 'low-resolution'"),
            ({"paired": {"a/b": "x"}}, "pattern"),
        ],
        ids=str,
    )
    def test_bad_names_are_refused(self, given, message):
        with pytest.raises(ValidationError, match=message):
            DataConfig.model_validate(given)


@pytest.fixture
def two_trees(tmp_path):
    """rgb/ and thermal/, noise of 12x12 px: the second is the first's red channel, as PNG below another suffix."""
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 3)):
        for name in ("cat", "dog"):
            for item in range(count):
                pixels = random.integers(0, 256, (12, 12, 3), dtype=np.uint8)
                for tree, made in (("rgb", pixels), ("thermal", pixels[..., 0])):
                    place = tmp_path / tree / split / name
                    place.mkdir(parents=True, exist_ok=True)
                    suffix = "bmp" if tree == "thermal" else "png"
                    Image.fromarray(made).save(place / f"{item}.{suffix}")
    return tmp_path / "rgb", tmp_path / "thermal"


class TestPaired:
    @pytest.mark.parametrize("stream", ["train", "val", "test"])
    def test_pairs_stay_together_and_in_place(self, two_trees, open_, stream):
        rgb, thermal = two_trees
        augment = {**EVERYTHING, "color": 0.0}
        data = open_(rgb, paired={"thermal": thermal}, val_fraction=0.2, augment=augment)
        assert data.channels == {"image": 3, "thermal": 3}
        for epoch in range(2):
            data.train.set_epoch(epoch)
            for batch in getattr(data, stream):
                image, partner = batch.inputs["image"], batch.inputs["thermal"]
                assert list(batch.inputs) == ["image", "thermal"]
                assert torch.equal(partner, image[:, :1].expand(-1, 3, -1, -1))
                assert partner.is_contiguous(memory_format=torch.channels_last)
                assert partner.std() > 0.1

    def test_colour_changes_only_the_first(self, two_trees, open_):
        rgb, thermal = two_trees
        still = open_(rgb, paired={"thermal": thermal}, augment={**EVERYTHING, "color": 0.0})
        data = open_(rgb, paired={"thermal": thermal}, augment=EVERYTHING)
        for one, other in zip(still.train, data.train, strict=True):
            assert torch.equal(one.inputs["thermal"], other.inputs["thermal"])
            assert not torch.allclose(one.inputs["image"], other.inputs["image"], atol=0.02)

    def test_the_second_follows_every_geometric_operation(self, two_trees, open_):
        rgb, thermal = two_trees
        augment = {
            "crop": 2, "crop_padding": "reflect", "hflip": 0.5, "vflip": 0.5, "rotate": 20.0,
            "auto_augment": "rand-m9-n1-p1-mstd0.5-inc1", "blur": 0.5, "erase": 0.5,
        }  # fmt: skip
        data = open_(rgb, paired={"thermal": thermal}, augment=augment)
        automatic, moved = AutoAugment(augment["auto_augment"]), set()
        colourless = open_(rgb, paired={"thermal": thermal}, augment={**augment, "blur": 0.0})
        for epoch in range(6):
            data.train.set_epoch(epoch)
            colourless.train.set_epoch(epoch)
            for batch, sharp in zip(data.train, colourless.train, strict=True):
                assert torch.equal(batch.inputs["thermal"], sharp.inputs["thermal"])
                (layer,) = automatic.layers(key("augment", 0, epoch), batch.index)
                for row, place in enumerate(layer.chosen.tolist()):
                    image, partner = (sharp.inputs[name][row] for name in ("image", "thermal"))
                    operation = automatic.operations[place]
                    assert torch.equal(partner, partner[:1].expand(3, -1, -1))
                    if operation.geometric:
                        assert torch.equal(partner[0], image[0])
                        moved.add(operation.name)
        assert moved == {"Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"}

    @pytest.mark.parametrize("augment", [{"mixup": 1.0}, {"cutmix": 1.0}], ids=str)
    def test_pairs_are_mixed_alike(self, two_trees, open_, augment):
        rgb, thermal = two_trees
        for batch in open_(rgb, paired={"thermal": thermal}, augment=augment).train:
            torch.testing.assert_close(batch.inputs["thermal"][:, 0], batch.inputs["image"][:, 0])
            torch.testing.assert_close(batch.target.sum(1), torch.ones(len(batch)))

    def test_other_views_are_pairs_too(self, two_trees, open_):
        rgb, thermal = two_trees
        data = open_(rgb, paired={"thermal": thermal}, augment={"crop": 3})
        batch = next(iter(data.train))
        for view in range(3):
            found = data.fetch(batch.index, view).inputs
            assert torch.equal(found["thermal"][:, 0], found["image"][:, 0])
            assert torch.equal(found["image"], batch.inputs["image"]) == (view == 0)

    def test_the_image_and_the_split_are_as_without_it(self, two_trees, open_):
        rgb, thermal = two_trees
        alone, data = open_(rgb), open_(rgb, paired={"thermal": thermal})
        for one, other in zip(alone.train, data.train, strict=True):
            assert torch.equal(one.index, other.index)
            assert torch.equal(one.inputs["image"], other.inputs["image"])
        assert alone.hash != data.hash
        assert alone.content_hash != data.content_hash

    def test_the_hash_covers_the_pixels_of_the_second(self, two_trees, open_):
        rgb, thermal = two_trees
        before = open_(rgb, paired={"thermal": thermal}).hash
        Image.new("L", (12, 12), 9).save(thermal / "train" / "cat" / "0.bmp")
        assert open_(rgb, paired={"thermal": thermal}).hash != before

    def test_unmatched_names_are_one_line(self, two_trees, open_):
        rgb, thermal = two_trees
        (thermal / "train" / "dog" / "4.bmp").rename(thermal / "train" / "dog" / "other.bmp")
        line = (
            r"^data\.paired\.thermal .*thermal: 1 of 24 images of train/ have no partner \(dog/4\.png\), "
            r"1 partners have no image \(dog/other\); "
        )
        with pytest.raises(KdzooError, match=line + "more than data.bad_images = 0.01 accepts"):
            open_(rgb, paired={"thermal": thermal})
        data = open_(rgb, paired={"thermal": thermal}, bad_images=0.1, val_fraction=0.0)
        (note,) = (one for one in data.notes if one.startswith("data.paired"))
        assert note.endswith("(dog/other); they are left out")
        assert data.skipped == ()
        missing = data.names.index("dog/4.png")
        assert data.train.split.index.tolist() == [row for row in range(24) if row != missing]

    def test_an_unreadable_partner_leaves_the_pair_out(self, two_trees, open_):
        rgb, thermal = two_trees
        (thermal / "test" / "cat" / "1.bmp").write_bytes(b"no image")
        data = open_(rgb, paired={"thermal": thermal}, bad_images=0.2)
        assert data.skipped == (str(thermal / "test" / "cat" / "1.bmp"),)
        assert data.test.split.index.tolist() == [0, 2, 3, 4, 5]
        for batch in data.test:
            assert torch.equal(batch.inputs["thermal"][:, 0], batch.inputs["image"][:, 0])

    def test_only_what_a_subset_needs_is_decoded(self, two_trees, open_):
        rgb, thermal = two_trees
        few = {"train_per_class": 2, "test_per_class": 1, "val_fraction": 0.0, "augment": {}}
        size = 12 * 12 * 3 * 2 / 1e9
        data = open_(rgb, paired={"thermal": thermal}, cache_gb=6.5 * size, **few)
        for stream in (data.train, data.test):
            for batch in stream:
                assert torch.equal(batch.inputs["thermal"][:, 0], batch.inputs["image"][:, 0])
        with pytest.raises(KdzooError, match=r"data\.paired\.thermal: the pairs decode to more than"):
            open_(rgb, paired={"thermal": thermal}, cache_gb=5.5 * size, **few)

    def test_what_cannot_be_paired_is_refused(self, two_trees, open_):
        rgb, thermal = two_trees
        with pytest.raises(KdzooError, match=r"data\.paired\.x .*only an image folder"):
            open_(paired={"x": thermal})
        with pytest.raises(KdzooError, match="nothing is not a folder"):
            open_(rgb, paired={"x": thermal / "nothing"})
        shutil.copy(thermal / "train" / "cat" / "0.bmp", thermal / "train" / "cat" / "0.png")
        with pytest.raises(KdzooError, match="both partners of cat/0; keep one"):
            open_(rgb, paired={"x": thermal})
        shutil.rmtree(thermal / "test")
        (thermal / "train" / "cat" / "0.png").unlink()
        with pytest.raises(KdzooError, match="has no test/, which the first tree has"):
            open_(rgb, paired={"x": thermal})
