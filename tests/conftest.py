"""Plugins that are made on the spot: a module and the metadata of a distribution, on the import path."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """install("kdzoo-x", "module source", requires=("kdzoo==0.2.0",))."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def make(distribution: str, source: str, *, requires: tuple[str, ...] = ()) -> None:
        module = distribution.replace("-", "_")
        made.append(module)
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.2.3.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n{needs}"
        )
        (info / "entry_points.txt").write_text(f"[kdzoo]\n{module} = {module}\n")

    yield make
    for module in made:
        sys.modules.pop(module, None)
