"""The report's figures: SVG from matplotlib, adapted for embedding in a page.

Colours are placeholders that become variables of the page's style sheet, so that one figure fits the light
and the dark page; text stays text and has the page's font. Labels are next to what they name, never in a
legend.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from kdzoo.bench.curves import Band
from kdzoo.bench.leaderboard import Row, references
from kdzoo.bench.recorded import HEADLINE

INK, MUTED, GRID, ACCENT, OTHER = "#000001", "#000002", "#000003", "#000004", "#000005"
PAPER = "#000006"
_VARIABLES = {PAPER: "paper", INK: "ink", MUTED: "muted", GRID: "grid", ACCENT: "accent", OTHER: "other"}

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": GRID,
    "axes.labelsize": 11.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 12,
    "svg.fonttype": "none",
    "svg.hashsalt": "kdzoo",
    "text.parse_math": False,  # a method may have a dollar sign in its name
    "xtick.color": GRID,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 11,
    "ytick.color": GRID,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 11,
}

_styled = mpl.rc_context(_STYLE)

_DPI = 72  # at 72 dpi, points of the SVG are its pixels


@dataclass(frozen=True)
class Drawing:
    """An SVG element without identifiers that could clash with others on the page."""

    svg: str
    width: int


@_styled
def curve_panel(curve: Band, reference: Band | None, limits: tuple[float, float], *, title: str) -> Drawing:
    """A learning curve with its range over seeds, and the mean of a reference curve.

    Args:
        curve: the panel's curve.
        reference: drawn thinly behind it; None is no reference.
        limits: of the y axis, the same for all panels of a group.
        title: for screen readers.
    """
    figure, axes = _figure(210, 138)
    if reference is not None:
        axes.plot(reference.epochs, reference.mean, color=OTHER, linewidth=1.2, dashes=(3, 2))
    axes.fill_between(curve.epochs, curve.low, curve.high, color=ACCENT, alpha=0.22, linewidth=0)
    axes.plot(
        curve.epochs, curve.mean, color=ACCENT, linewidth=1.8, marker="o" if len(curve.epochs) < 2 else ""
    )
    axes.set_ylim(*limits)
    last = curve.epochs[-1]
    axes.set_xticks(sorted({1, last} if last < 8 else {1, round(last / 2), last}))
    axes.set_xlim(min(1, last - 0.5), max(last, 1.5))
    axes.locator_params(axis="y", nbins=4)
    _grid(axes, "y")
    return _drawing(figure, title)


def limits_of(bands: Sequence[Band], *, since: float = 0.0) -> tuple[float, float]:
    """Limits that show every band, with a small margin.

    Args:
        bands: the bands.
        since: fraction of training, from 0 to 1, that may be outside, since the methods differ only later.
    """
    low = min(
        value
        for one in bands
        for epoch, value in zip(one.epochs, one.low, strict=True)
        if _after(one, epoch, since)
    )
    high = max(
        value
        for one in bands
        for epoch, value in zip(one.epochs, one.high, strict=True)
        if _after(one, epoch, since)
    )
    air = max(0.04 * (high - low), 1e-6)
    return low - air, high + air


def _after(band: Band, epoch: int, since: float) -> bool:
    return epoch >= since * band.epochs[-1]


@_styled
def difference_figure(rows: Sequence[Row], headline: str = HEADLINE) -> Drawing:
    """Each entry's difference to its baseline with its 95% interval, best first; filled if it excludes 0."""
    shown = [row for row in rows if row.difference is not None]
    figure, axes = _figure(420, 46 + 22 * len(shown))
    axes.axvline(0, color=OTHER, linewidth=1.2, dashes=(3, 2))
    for place, row in enumerate(shown):
        assert row.difference is not None
        value = row.difference
        axes.plot([value.low, value.high], [place, place], color=ACCENT, linewidth=2, solid_capstyle="round")
        fill = ACCENT if value.excludes_zero else PAPER
        axes.plot(
            value.mean, place, "o", color=ACCENT, markerfacecolor=fill, markersize=7, markeredgewidth=1.6
        )
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks(range(len(shown)), [row.entry for row in shown])
    for label in axes.get_yticklabels():
        label.set_color(INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    what = "percentage points" if headline == HEADLINE else headline
    axes.set_xlabel(f"{what}, minus {' or '.join(references(shown))}", color=MUTED)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
    _grid(axes, "x")
    return _drawing(figure, "Differences to the baseline with their 95% intervals")


@_styled
def cost_figure(
    rows: Sequence[Row],
    costs: Sequence[float],
    axis: str,
    *,
    baseline: str,
    teacher: float | None,
    headline: str = HEADLINE,
) -> Drawing:
    """Accuracy at the last epoch with its 95% interval against the cost of each row.

    Args:
        rows: the leaderboard.
        costs: the cost of each row, not negative.
        axis: the label of the cost axis.
        baseline: the entry that is highlighted.
        teacher: its accuracy, drawn as a line; None is no line.
        headline: the rows' figure.
    """
    figure, axes = _figure(420, max(260, 70 + 18 * len(rows)))
    labels = []
    for row, cost in zip(rows, costs, strict=True):
        color = OTHER if row.entry == baseline else ACCENT
        axes.plot([cost, cost], [row.last.low, row.last.high], color=color, linewidth=1.4, alpha=0.5)
        axes.plot(cost, row.last.mean, "o", color=color, markersize=7)
        labels.append(_Label(row.entry, cost, row.last.mean, color))
    right = max(costs) * 1.08 or 1.0
    if teacher is not None and headline == HEADLINE:
        axes.axhline(teacher, color=MUTED, linewidth=1, dashes=(1, 2))
        labels.append(_Label("teacher", right, teacher, MUTED))
    axes.set_xlim(0, right)
    axes.set_xlabel(axis, color=MUTED)
    axes.set_ylabel("test accuracy, %" if headline == HEADLINE else headline, color=MUTED)
    _grid(axes, "both")
    figure.canvas.draw()  # fixes the axis limits, from which the positions of labels are computed
    _label_right(axes, labels)
    return _drawing(figure, f"{'Test accuracy' if headline == HEADLINE else headline} against {axis}")


@dataclass(frozen=True)
class _Label:
    text: str
    x: float
    y: float
    color: str


def _label_right(axes: Axes, labels: Sequence[_Label]) -> None:
    """Names in a column next to the axes, in the order of their points, each connected to its point."""
    labels = sorted(labels, key=lambda label: label.y)
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height
    wanted = [(label.y - low) / (high - low) * height for label in labels]
    for label, place in zip(labels, spread(wanted, 17, height), strict=True):
        axes.annotate(
            label.text,
            xy=(label.x, label.y),
            xytext=(1.05, place / height),
            textcoords="axes fraction",
            color=INK if label.color == ACCENT else label.color,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": label.color,
                "linewidth": 0.6,
                "alpha": 0.55,
                "shrinkB": 5,
            },
        )


def spread(wanted: Sequence[float], gap: float, height: float) -> list[float]:
    """Positions as close as possible to the ``wanted`` ones (ascending), at least ``gap`` apart, in [0, ``height``].

    Neighbours that are too close form a block around their mean; blocks that touch are merged. If there is
    not enough room, the topmost are above ``height``.
    """

    def bottom(block: Sequence[float]) -> float:
        extent = gap * (len(block) - 1)
        return max(0.0, min(sum(block) / len(block) - extent / 2, height - extent))

    blocks: list[list[float]] = []
    for place in wanted:
        blocks.append([place])
        while len(blocks) > 1 and bottom(blocks[-1]) < bottom(blocks[-2]) + gap * len(blocks[-2]):
            upper = blocks.pop()
            blocks[-1] += upper
    return [bottom(block) + number * gap for block in blocks for number in range(len(block))]


def _figure(width: int, height: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def _grid(axes: Axes, axis: Any) -> None:
    axes.grid(axis=axis, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _drawing(figure: Figure, title: str) -> Drawing:
    file = io.StringIO()
    figure.savefig(
        file,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Type": None, "Format": None},
    )
    width = round(figure.get_figwidth() * _DPI)
    return Drawing(embeddable(file.getvalue(), title), width)


def embeddable(svg: str, title: str) -> str:
    """An SVG document as an element of an HTML page: no prologue, no fixed size, colours of the page."""
    svg = svg[svg.index("<svg") :]
    # its style sheet would apply to the whole page, which has its own rules for all SVGs
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", svg, flags=re.DOTALL)
    head, body = svg.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    assert view is not None
    body = re.sub(r'style="[^"]*"', _page_style, body)
    own = hashlib.sha256(f"{title}{body}".encode()).hexdigest()[:8]
    body = re.sub(r'\bid="', f'id="{own}-', body)
    body = re.sub(r"url\(#", f"url(#{own}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{own}-', body)
    return f'<svg {view[0]} role="img" aria-label="{html.escape(title)}">{body}'


def _page_style(found: re.Match[str]) -> str:
    """A style attribute with the page's colours, and without a font of its own."""
    style = re.sub(r"font-family: [^;\"]*;? ?", "", found[0])
    for color, name in _VARIABLES.items():
        style = style.replace(color, f"var(--{name})")
    return style
