"""What the cache keeps: decoded sets of images, trained teachers, and what frozen teachers answered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdzoo.engine.store import ABOUT
from kdzoo.errors import KdzooError
from kdzoo.files import inside
from kdzoo.jobs.folder import finished
from kdzoo.owner import Owner
from kdzoo.places import cache_folder
from kdzoo.recipe.identity import read_identity


@dataclass(frozen=True)
class Kept:
    """One thing in the cache.

    Attributes:
        what: ``images``, ``teacher`` or ``answers``.
        name: of its file or folder.
        about: what it is, in a few words.
        size: in bytes.
        used: when it was last written or, where the file system notes that, read; in seconds since 1970.
        paths: its files and folders.
    """

    what: str
    name: str
    about: str
    size: int
    used: float
    paths: tuple[Path, ...]

    def remove(self) -> bool:
        """Delete it, unless a process makes it at this moment; whether it was deleted."""
        thing = self.paths[0]
        owner = Owner.of(thing)
        try:
            if not owner.await_turn(lambda line: None, seconds=0.0):
                return False
            for path in self.paths:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise KdzooError(f"{thing}: cannot be removed: {error.strerror or error}") from None
        finally:
            owner.release()
        return True


def kept() -> list[Kept]:
    """Everything in the cache, the largest first.

    Raises:
        KdzooError: ``KDZOO_CACHE`` names no folder.
    """
    place = cache_folder()
    found = (
        *_images(place / "datasets"),
        *_teachers(place / "teachers"),
        *_answers(place / "answers"),
    )
    return sorted(found, key=lambda one: -one.size)


def _images(place: Path) -> Iterator[Kept]:
    for path in sorted(place.glob("*.npy")):
        split, _, rest = path.stem.partition("-")
        about = f"{rest.partition('-')[0]}, split {split}"
        with suppress(OSError, ValueError, AttributeError):
            facts: Any = json.loads(path.with_suffix(".json").read_bytes())
            about += f" of {facts['source']}" if facts.get("source") else ""
            about += f", {len(facts['bad'])} unreadable" if facts.get("bad") else ""
        with suppress(OSError):  # another process has removed it
            yield _of("images", about, path, path.with_suffix(".json"))


def _teachers(place: Path) -> Iterator[Kept]:
    for path in sorted(one for one in place.glob("*") if one.is_dir()):
        identity = read_identity(path)
        fields = identity.fields if identity is not None else {}
        about = f"{fields.get('roles.student.model', path.name.rpartition('-')[0])}"
        about += f", epochs: {fields['epochs']}" if "epochs" in fields else ""
        try:
            result = finished(inside(place, path.name))
        except KdzooError:
            result = None
        accuracy = (result or {}).get("test/last")
        about += f", {accuracy:.2f} % on test" if isinstance(accuracy, float) else ", not finished"
        with suppress(OSError):
            yield _of("teacher", about, path)


def _answers(place: Path) -> Iterator[Kept]:
    for path in sorted(one for one in place.glob("*") if one.is_dir()):
        about = path.name.rpartition("-")[0]
        with suppress(OSError, ValueError, KeyError, TypeError):
            facts: Any = json.loads((path / ABOUT).read_bytes())
            about = f"{facts['teacher']}, seed {facts['seed']}"
        epochs = {one.name.partition("-")[0] for one in path.glob("*.safetensors")}
        with suppress(OSError):
            yield _of("answers", f"{about}, epochs: {len(epochs)}", path)


def _of(what: str, about: str, *paths: Path) -> Kept:
    files = [
        file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
    ]
    size, used = 0, 0.0
    for file in files:
        facts = file.stat()
        size += facts.st_size
        # Of pixels and weights alone: to look at the cache reads the texts.
        read = facts.st_atime if file.suffix in (".npy", ".safetensors") else 0.0
        used = max(used, facts.st_mtime, read)
    return Kept(what, paths[0].name, about, size, used, paths)
