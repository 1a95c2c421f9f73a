"""``cluster/settings.json``: how the jobs of a suite are run, for its jobs and for those who ask about them."""

from __future__ import annotations

from pathlib import Path

from pydantic import PositiveInt, TypeAdapter

from kdzoo.bench.executors.config import ClusterConfig
from kdzoo.bench.executors.queue import PLACE
from kdzoo.bench.recorded import Amount, read_json
from kdzoo.errors import KdzooError
from kdzoo.files import write_json
from kdzoo.recipe.section import Section


class Settings(Section):
    """How the jobs of a suite are run.

    Attributes:
        suite: its name.
        cluster: which one; None where somebody else submits the jobs.
        config: what each job asks for.
        threads: of each run.
        since: when the suite was last submitted by somebody, in seconds since 1970.
    """

    suite: str
    cluster: str | None
    config: ClusterConfig
    threads: PositiveInt
    since: Amount


_SETTINGS = TypeAdapter(Settings)


def write_settings(folder: Path, settings: Settings) -> None:
    """Write them, whole or not at all.

    Raises:
        KdzooError: the folder cannot be written.
    """
    place = folder / PLACE
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KdzooError(f"{place}: cannot be written: {error.strerror or error}") from None
    write_json(place / "settings.json", settings.model_dump(mode="json"))


def has_settings(folder: Path) -> bool:
    """Whether jobs were planned in this folder."""
    return (folder / PLACE / "settings.json").exists()


def read_settings(folder: Path) -> Settings:
    """Read them.

    Raises:
        KdzooError: there are none, since nobody planned jobs in this folder, or they are damaged.
    """
    if not has_settings(folder):
        raise KdzooError(f"{folder}: no jobs of a suite; kdzoo bench SUITE --cluster slurm submits them")
    return read_json(folder / PLACE / "settings.json", _SETTINGS)
