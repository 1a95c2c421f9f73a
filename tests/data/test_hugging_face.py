"""Data sets that the library ``datasets`` reads, from a local folder."""

import pytest
from PIL import Image

from kdzoo.api import KdzooError

datasets = pytest.importorskip("datasets", exc_type=ImportError)


@pytest.fixture
def parquet(tmp_path):
    """A folder of parquet files as ``push_to_hub`` writes them."""

    def write(label="label"):
        features = datasets.Features(
            {"image": datasets.Image(), label: datasets.ClassLabel(names=["cat", "dog"])}
        )
        for split, count in (("train", 20), ("test", 6)):
            images = [Image.new("RGB", (8, 8), (number, 0, 0)) for number in range(count)]
            content = {"image": images, label: [number % 2 for number in range(count)]}
            made = datasets.Dataset.from_dict(content, features=features)
            made.to_parquet(tmp_path / "parquet" / f"{split}-00000-of-00001.parquet")
        return tmp_path / "parquet"

    (tmp_path / "parquet").mkdir()
    return write


def check(data):
    assert data.classes == ("cat", "dog")
    assert [len(stream.split) for stream in (data.train, data.test)] == [20, 6]
    for stream in (data.train, data.test):
        for batch in stream:
            reds = (batch.inputs["image"][:, 0, 0, 0] * 255).round().long()
            assert reds.tolist() == batch.index.tolist()
            assert batch.target.tolist() == [number % 2 for number in reds.tolist()]


SETTINGS = {"augment": {}, "val_fraction": 0, "workers": 0}


@pytest.mark.parametrize("cache_gb", [4, 0])
def test_a_folder_of_parquet_decoded_or_streamed(parquet, open_, tmp_path, cache_gb):
    check(open_(tmp_path / "hub", dataset=f"hfds/{parquet()}", cache_gb=cache_gb, **SETTINGS))


def test_a_folder_of_parquet_as_a_stream(parquet, open_, tmp_path):
    check(open_(tmp_path / "hub", dataset=f"hfids/{parquet()}", **SETTINGS))


def test_another_name_of_the_column_with_the_label(parquet, open_, tmp_path):
    name = f"hfds/{parquet('kind')}"
    check(open_(tmp_path / "hub", dataset=name, options={"target_key": "kind"}, **SETTINGS))
    with pytest.raises(
        KdzooError, match=r"train: KeyError: 'label'; its columns are image, kind \(data\.options"
    ):
        open_(tmp_path / "hub", dataset=name)
    with pytest.raises(KdzooError, match=r"data\.options\.split: kdzoo sets it"):
        open_(tmp_path / "hub", dataset=name, options={"split": "test"})
