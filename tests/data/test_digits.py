import torch


def test_the_embedded_default(open_):
    data = open_()
    sizes = [len(stream.split) for stream in (data.train, data.val, data.test)]
    assert sizes == [1131, 126, 540]
    assert (data.img_size, data.channels, data.classes) == (32, {"image": 1}, tuple("0123456789"))
    assert len(open_(val_fraction=0).train.split) == 1257


def test_the_test_split_never_changes(open_):
    first, second = (
        torch.cat([batch.inputs["image"] for batch in open_(seed=seed, split_seed=seed).test])
        for seed in (0, 1)
    )
    assert torch.equal(first, second)
    assert first.shape == (540, 1, 32, 32)
    assert first.max() == 1


def test_a_nearest_neighbour_reads_them(open_):
    """Images and labels belong together, and the two parts are of one kind."""
    data = open_(batch_size=2000, val_fraction=0, augment={})
    (train,), (test,) = data.train, data.test
    distance = torch.cdist(test.inputs["image"].flatten(1), train.inputs["image"].flatten(1))
    assert (train.target[distance.argmin(1)] == test.target).float().mean() > 0.97


def test_other_sizes(open_):
    data = open_(img_size=28)
    assert next(iter(data.train)).inputs["image"].shape[1:] == (1, 28, 28)
