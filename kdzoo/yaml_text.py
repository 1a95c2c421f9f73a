"""YAML that is read with care, by one reader for files, registries and ``--set``, and written so that it reads back.

Numbers are read as people write them: ``1e-8``, ``1E5``, ``.5``, ``+1e3``, ``1_000``, ``0x1f``. ``true``, ``yes`` and
``on`` are true, ``false``, ``no`` and ``off`` are false, in the spellings of YAML 1.1; a text that looks like one of
these stands in quotes. Dates and ``12:30`` are text. Keys are text, and each is there once.

Size, depth and number of values are bounded before anything is built: an alias counts as often as it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kdzoo.errors import KdzooError, shortened

MOST_BYTES = 1_000_000
"""Of a text."""

_MOST_VALUES = 100_000
_DEEPEST = 40
_MOST_DIGITS = 64

_INT = r"[-+]?(?:0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*)"
_DECIMAL = r"(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
_FLOAT = rf"[-+]?(?:{_DECIMAL}|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
_BOOL = "|".join(form for word in (*_TRUE, *_FALSE) for form in (word, word.capitalize(), word.upper()))
_TAG = "tag:yaml.org,2002:"
_PLAIN = (
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", _BOOL, list("tTfFyYnNoO")),
    ("int", _INT, list("+-0123456789")),
    ("float", _FLOAT, list("+-.0123456789")),
    ("merge", "<<", ["<"]),
)
"""What a word without quotes may be beside text: tag, pattern of the whole word, first letters."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the quick one where it is built
    """Parses, and tells numbers and words apart as this module says."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  # PyYAML's own attribute: its words are not ours


class _Dumper(yaml.SafeDumper):
    """Puts a text in quotes that YAML 1.1 or this module would read as something else."""


for _name, _pattern, _first in _PLAIN:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        KdzooError: it cannot be read, or :func:`parse_mapping` refuses it; names the file.
    """
    return parse_mapping(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """The content of a file, cut where it is too long for :func:`parse_mapping`.

    Raises:
        KdzooError: it cannot be read; names the file.
    """
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a NUL in the path
        raise KdzooError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def parse_mapping(content: bytes, source: str) -> dict[str, Any]:
    """UTF-8 text that holds a mapping; see :func:`parse`."""
    if len(content) > MOST_BYTES:
        raise KdzooError(f"{source}: larger than {MOST_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise KdzooError(f"{source}: not a text file") from None
    data = parse(text, source)
    if not isinstance(data, dict):
        raise KdzooError(f"{source}: expected keys with values, found {type(data).__name__}")
    return data


def parse(text: str, source: str, *, lines: bool = True) -> Any:
    """One YAML document as plain data: None, bool, int, float, str, list, and dict with text for keys.

    Args:
        text: the document.
        source: named in errors.
        lines: whether errors name the line.

    Raises:
        KdzooError: it is not YAML; has a tag, a key that is no text, or one that is there twice; a number that is
            too long; control characters; or too much of anything. Names the source, the line and the key.
    """
    if len(text) > MOST_BYTES:
        raise KdzooError(f"{source}: longer than {MOST_BYTES} characters")
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark and lines else ""
        problem = getattr(error, "problem", None) or error
        raise KdzooError(f"{source}{line}: not YAML: {' '.join(str(problem).split())}") from None
    except (
        ValueError,
        RecursionError,
    ):  # bytes of another encoding; Python's own parser has no limit of depth
        raise KdzooError(f"{source}: not YAML: no Unicode text, or nested too deeply") from None
    return _Builder(source, lines=lines).value(node, ()) if node is not None else None


def to_yaml(data: Mapping[str, Any]) -> str:
    """Plain data as YAML that :func:`parse`, and any reader of YAML 1.1 or 1.2, reads as it was."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


class _Builder:
    """Makes plain data of PyYAML's nodes, and counts what it makes."""

    def __init__(self, source: str, *, lines: bool) -> None:
        self._source, self._lines = source, lines
        self._count = 0

    def value(self, node: yaml.Node, at: tuple[str, ...]) -> Any:
        """What ``node`` stands for; ``at`` are the keys that lead to it."""
        self._count += 1
        if self._count > _MOST_VALUES:
            raise self._refusal(node, at[:1], f"more than {_MOST_VALUES} values, aliases written out")
        if len(at) > _DEEPEST:
            raise self._refusal(
                node, at[:3], f"more than {_DEEPEST} levels deep, or an anchor that contains itself"
            )
        kind = node.tag.removeprefix(_TAG)
        match node:
            case yaml.MappingNode() if kind == "map":
                return self._mapping(node, at)
            case yaml.SequenceNode() if kind == "seq":
                return [self.value(one, (*at, str(number))) for number, one in enumerate(node.value)]
            case yaml.ScalarNode() if kind in ("null", "bool", "int", "float", "str", "merge"):
                return self._scalar(kind, node, at)
        raise self._refusal(node, at, f"not YAML: no place for the tag {shortened(node.tag)}")

    def _mapping(self, node: yaml.MappingNode, at: tuple[str, ...]) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = "<<" if key.tag == f"{_TAG}merge" else self.value(key, at)
            if not isinstance(name, str):
                raise self._refusal(key, at, f"the key {shortened(name)} is no text; put it in quotes")
            if name in lines:
                raise self._refusal(key, (*at, name), f"the key is there twice, first in line {lines[name]}")
            lines[name] = key.start_mark.line + 1
            if key.tag == f"{_TAG}merge":
                several = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for one in reversed(several):  # the first wins
                    if not isinstance(one, yaml.MappingNode):
                        raise self._refusal(one, at, "<< takes keys with values, or a list of such")
                    merged |= self._mapping_of(one, at)
            else:
                own[name] = self.value(value, (*at, name))
        return {**merged, **own}

    def _mapping_of(self, node: yaml.MappingNode, at: tuple[str, ...]) -> dict[str, Any]:
        return dict(self.value(node, (*at, "<<")))

    def _scalar(self, kind: str, node: yaml.ScalarNode, at: tuple[str, ...]) -> Any:
        text: str = node.value
        if kind == "null":
            return None
        if kind == "bool":
            if text.lower() not in (*_TRUE, *_FALSE):
                raise self._refusal(node, at, f"not YAML: {shortened(text)} is neither true nor false")
            return text.lower() in _TRUE
        if kind in ("int", "float"):
            return self._number(kind, node, at)
        if found := _CONTROL.search(text):
            raise self._refusal(node, at, f"the control character {found[0]!r} in a text")
        return text

    def _number(self, kind: str, node: yaml.ScalarNode, at: tuple[str, ...]) -> int | float:
        text = node.value.replace("_", "").lower()
        if len(text) > _MOST_DIGITS:
            raise self._refusal(node, at, f"a number of {len(text)} digits")
        try:
            if kind == "int":
                return int(text, 0 if re.match("[-+]?0[xob]", text) else 10)
            number = float(text.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:  # with a tag, any text may say that it is a number
            raise self._refusal(node, at, f"not YAML: {shortened(node.value)} is no number") from None
        if abs(number) == float("inf") and ".inf" not in text:
            raise self._refusal(node, at, f"{shortened(node.value)} is larger than any number of 64 bits")
        return number

    def _refusal(self, node: yaml.Node, at: tuple[str, ...], what: str) -> KdzooError:
        line = f", line {node.start_mark.line + 1}" if self._lines else ""
        where = shortened(".".join(at), quoted=False)
        return KdzooError(f"{self._source}{line}: {f'{where}: ' if where else ''}{what}")
