"""Predictions as lines: for people, as JSON, as CSV. Each line is written as soon as its picture was looked at."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from typing import Protocol, TextIO

from kdzoo.use.model import Model
from kdzoo.use.predict import Prediction, top
from kdzoo.use.words import end_of, printable, shortened, spoken


class Lines(Protocol):
    """Writes predictions."""

    def write(self, one: Prediction) -> None:
        """The lines of one picture."""


class JsonLines:
    """``{"picture": ..., "predictions": [{"class": ..., "probability": ...}]}``, or ``features``, or ``error``.

    A class that is one of ImageNet's synsets has its ``name`` too.
    """

    def __init__(self, out: TextIO, model: Model, k: int) -> None:
        self._out, self._model, self._k = out, model, k

    def write(self, one: Prediction) -> None:
        """One line."""
        row: dict[str, object] = {"picture": one.name}
        if one.output is None:
            row["error"] = one.problem
        elif self._model.description.output == "features":
            row["features"] = [float(str(value)) for value in one.output.numpy()]
        else:
            found = top(self._model, one.output, self._k)
            row["predictions"] = [
                {"class": name, **_name(name), "probability": round(value, 6)} for name, value in found
            ]
        self._out.write(json.dumps(row) + "\n")


def _name(label: str) -> dict[str, str]:
    """``name``, of a class that is called otherwise than it is spoken."""
    return {} if spoken(label) == label else {"name": spoken(label)}


class Csv:
    """``picture,class1,probability1,...,error``."""

    def __init__(self, out: TextIO, model: Model, k: int) -> None:
        self._rows = csv.writer(out, lineterminator="\n")
        self._model = model
        names = model.description.label_names
        self._k = k if names is None else min(k, len(names))
        columns = [f"{what}{place + 1}" for place in range(self._k) for what in ("class", "probability")]
        self._rows.writerow(["picture", *columns, "error"])

    def write(self, one: Prediction) -> None:
        """One row."""
        if one.output is None:
            cells: list[str] = [""] * (2 * self._k)
        else:
            cells = [
                text
                for name, value in top(self._model, one.output, self._k)
                for text in (name, f"{value:.6f}")
            ]
        name = one.name.encode(errors="backslashreplace").decode()  # a file's name may be no UTF-8
        self._rows.writerow([name, *cells, one.problem])


class Table:
    """A line for each class of a picture: its file, the class, the probability in percent.

    Args:
        out: where to.
        model: whose predictions they are.
        k: classes of a picture.
        width: columns of the terminal, to which names are cut; None cuts nothing.
    """

    def __init__(self, out: TextIO, model: Model, k: int, width: int | None) -> None:
        self._out, self._model, self._k, self._width = out, model, k, width
        names = map(spoken, model.description.label_names or ("class",))
        longest = max(map(len, names))
        self._class = longest if width is None else min(longest, max((width - 12) // 2, 8))
        self._picture = 40 if width is None else max(width - self._class - 11, 12)

    def write(self, one: Prediction) -> None:
        """The lines."""
        for line in self._lines(one):
            self._out.write(line.rstrip() + "\n")

    def _lines(self, one: Prediction) -> Iterator[str]:
        name = self._fit(one.name, self._picture, end_of)
        if one.output is None:
            room = (self._width or 0) - len(name) - 2
            yield f"{name}  {self._fit(f'unreadable: {one.problem}', max(room, 20), shortened)}"
            return
        for found, value in top(self._model, one.output, self._k):
            shown = self._fit(spoken(found), self._class, shortened)
            yield f"{name:{self._picture}}  {shown:{self._class}} {100 * value:6.2f} %"
            name = ""

    def _fit(self, text: str, room: int, cut: Callable[[str, int], str]) -> str:
        """Cut if there is a terminal, and printable."""
        return printable(text) if self._width is None else cut(text, room)


def lines_of(form: str, model: Model, k: int, width: int | None, out: TextIO | None = None) -> Lines:
    """The writer of a form: ``table``, ``jsonl`` or ``csv``."""
    out = out or sys.stdout
    if form == "jsonl":
        return JsonLines(out, model, k)
    if form == "csv":
        return Csv(out, model, k)
    return Table(out, model, k, width)
