"""What the flags mean, and what is refused."""

from __future__ import annotations

import pytest

from kdzoo.compress.request import changes, number_of, seconds_of
from kdzoo.errors import KdzooError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20m", 1200), ("2h", 7200), ("1h30m", 5400), ("0.5 h", 1800), ("1d", 86400)],
)
def test_a_budget(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 weeks", "2h!", "-2h", "1e3s", "nan"])
def test_no_budget(text: str) -> None:
    with pytest.raises(KdzooError, match="expected a time such as 90s, 20m or 2h"):
        seconds_of(text)


def test_a_number_of_parameters() -> None:
    assert [number_of(one, "--max-params") for one in ("2M", "500k", "1.5m", "7")] == [
        2_000_000,
        500_000,
        1_500_000,
        7,
    ]
    for text in ("", "M", "0", "-2M", "2 apples"):
        with pytest.raises(KdzooError, match="--max-params"):
            number_of(text, "--max-params")


def test_what_has_changed_is_named() -> None:
    before = {"budget": 60.0, "data": {"data_dir": "a"}, "teacher": None}
    assert changes(before, before) == []
    assert changes(before, {**before, "budget": 120.0}) == ["budget was 60.0, is 120.0"]
    assert changes(before, {**before, "data": {"data_dir": "b", "img_size": 64}}) == [
        "data.data_dir was 'a', is 'b'",
        "data.img_size was None, is 64",
    ]
