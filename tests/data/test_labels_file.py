"""A table of paths and labels in place of class folders."""

import pytest

from kdzoo.api import UNLABELLED, KdzooError


@pytest.fixture
def folder(make_folder):
    return make_folder(train=10, val=3, test=4)


@pytest.fixture
def table(folder, tmp_path):
    """The table that says what the folder says, in another order."""

    def write(*columns, name="labels.csv", files=None, lines=()):
        rows = []
        for file in sorted(files or folder.rglob("*.png"), reverse=True):
            split, label, _ = file.relative_to(folder).parts
            row = {"path": file.relative_to(folder).as_posix(), "label": label, "split": split, "weight": "1"}
            rows.append(",".join(row[column] for column in columns))
        path = tmp_path / name
        path.write_text("\n".join([",".join(columns), *rows, *lines]) + "\n", encoding="utf-8")
        return path

    return write


def test_a_table_that_says_what_the_folders_say_gives_the_same_data(folder, table, open_):
    by_table = open_(folder, labels_file=table("weight", "label", "split", "path"))
    by_folders = open_(folder)
    assert by_table.hash == by_folders.hash
    assert by_table.classes == by_folders.classes
    assert by_table.train.split.target.tolist() == by_folders.train.split.target.tolist()
    assert by_table.notes == by_folders.notes


def test_without_the_column_split_a_part_of_each_class_is_tested_on(folder, table, open_):
    file = table("path", "label", files=(folder / "train").rglob("*.png"))
    data = open_(folder, labels_file=file, val_fraction=0)
    assert (len(data.train.split), data.test.split.target.tolist()) == (24, [0, 0, 1, 1, 2, 2])
    assert data.notes[0].startswith(f"{file} has no column split: data.test_fraction 0.2 of each class")
    assert open_(folder / "train", val_fraction=0).hash == data.hash


def test_an_empty_label_is_none(folder, table, open_):
    file = table("path", "label", "split", lines=["new.png,,train"])
    (folder / "new.png").write_bytes((folder / "train" / "cat" / "000.png").read_bytes())
    data = open_(folder, labels_file=file)
    assert sorted(data.train.split.target.tolist()) == [UNLABELLED] + [0] * 10 + [1] * 10 + [2] * 10
    assert not data.unlabelled


def test_another_delimiter_and_a_byte_order_mark(folder, table, open_):
    file = table("path", "label", "split")
    file.write_text("\ufeff" + file.read_text().replace(",", ";"), encoding="utf-8")
    assert open_(folder, labels_file=file).hash == open_(folder).hash


def test_without_labels(folder, table, open_):
    data = open_(folder, labels_file=table("path", "label", "split"), unlabelled=True)
    assert (data.classes, len(data.train.split)) == ((), 30)


def test_classes_missing_in_a_split(folder, table, open_):
    files = [file for file in folder.rglob("*.png") if file.parent != folder / "test" / "owl"]
    file = table("path", "label", "split", files=files)
    with pytest.raises(KdzooError, match=r"test lacks owl"):
        open_(folder, labels_file=file)
    assert open_(folder, labels_file=file, allow_missing=True).test.split.target.max() == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train/cat/none.png,cat,train", r"names 1 of 52 files that .* lacks: train/cat/none\.png"),
        ("../images/train/cat/000.png,cat,train", r"row 52: '\.\./images/.*' must be a path below data_dir"),
        ("/etc/passwd,cat,train", r"row 52: '/etc/passwd' must be a path below data_dir"),
        ("train/cat/000.png,cat,train", r"train/cat/000\.png is named in rows \d+ and 52, twice"),
        ("train/./cat/000.png,dog,train", r"000\.png is named in rows \d+ and 52, labels 'cat' and 'dog'"),
        ("train/cat/000.png,cat,test", r"000\.png is named in rows \d+ and 52, splits train and test"),
        (",cat,train", "row 52 has no path"),
        ("train/cat/000.png,cat,all", r"row 52: split 'all'; accepted: train, val, .*test"),
        ("train/cat/000.png,cat", "row 52: split ''; accepted: train"),
        ('train/cat/000.png,"cat', "is no CSV in UTF-8"),
    ],
)
def test_bad_rows_are_one_line(folder, table, open_, line, said):
    with pytest.raises(KdzooError, match=said) as caught:
        open_(folder, labels_file=table("path", "label", "split", lines=[line]))
    assert "\n" not in str(caught.value)


def test_bad_tables_are_one_line(folder, table, open_, tmp_path):
    with pytest.raises(KdzooError, match="has no column label; accepted: the columns path, label"):
        open_(folder, labels_file=table("path", "split"))
    with pytest.raises(KdzooError, match=r"nowhere\.csv: No such file"):
        open_(folder, labels_file=tmp_path / "nowhere.csv")
    (tmp_path / "empty.csv").write_text("path,label\n")
    with pytest.raises(KdzooError, match="has no rows"):
        open_(folder, labels_file=tmp_path / "empty.csv")
    (tmp_path / "bad.csv").write_bytes(b"path,label\n\xff,cat\n")
    with pytest.raises(KdzooError, match="is no CSV in UTF-8"):
        open_(folder, labels_file=tmp_path / "bad.csv")
    one = [file for file in folder.rglob("*.png") if file.parent.name == "cat"]
    with pytest.raises(KdzooError, match="has the one label cat"):
        open_(folder, labels_file=table("path", "label", "split", files=one))
    with pytest.raises(KdzooError, match="no row has the split test or val"):
        open_(folder, labels_file=table("path", "label", "split", files=(folder / "train").rglob("*.png")))
    with pytest.raises(KdzooError, match=r"data\.class_depth is for class folders"):
        open_(folder, labels_file=table("path", "label"), class_depth=2)


def test_parquet(folder, open_, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    from pyarrow import parquet

    files = sorted(folder.rglob("*.png"))
    columns = {
        "path": [file.relative_to(folder).as_posix() for file in files],
        "label": [["cat", "dog", "owl"].index(file.parent.name) for file in files],
        "split": [file.parts[-3] for file in files],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "labels.parquet")
    data = open_(folder, labels_file=tmp_path / "labels.parquet")
    assert data.classes == ("0", "1", "2")
    assert data.train.split.target.tolist() == open_(folder).train.split.target.tolist()
    (tmp_path / "labels.parquet").write_bytes(b"no parquet")
    with pytest.raises(KdzooError, match=r"labels\.parquet cannot be read: "):
        open_(folder, labels_file=tmp_path / "labels.parquet")


def test_parquet_without_its_library(folder, open_, tmp_path):
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        (tmp_path / "labels.parquet").write_bytes(b"")
        with pytest.raises(KdzooError, match="parquet is read by pyarrow: pip install pyarrow, or use CSV"):
            open_(folder, labels_file=tmp_path / "labels.parquet")
    else:
        pytest.skip("pyarrow is installed")
