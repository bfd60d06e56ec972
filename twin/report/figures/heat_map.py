"""Heat map: a value for each pair of a row and a column, deeper where it is larger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.report.svg import FONT_WIDTH, Figure, element, number, shortened, text, tooltip

WIDTH, RIGHT = 880.0, 20.0
MAX_LABEL = 250.0
"""Maximum width of the labels of rows, in pixels."""
ROW, TOP = 24.0, 24.0
MIN_COLUMN, MAX_COLUMN = 20.0, 150.0
MAX_CELLS = 2_000
"""More cells are neither legible nor small."""
DARK = 0.55
"""Opacity from which a cell's text has the colour of the page."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Value of a cell, its text, and what its tooltip says; `mark` is the CSS class of its border."""

    value: float
    text: str
    tooltip: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """Labels of rows and columns, the cells that have a value, and what both axes are."""

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Mapping[tuple[int, int], Cell]
    axes: str = ""


def heat_map(name: str, title: str, grid: Grid, *, alt: str, caption: str) -> Figure | None:
    """Draw a heat map; None if it is empty or has more than `MAX_CELLS` cells."""
    if not grid.cells or len(grid.rows) * len(grid.columns) > MAX_CELLS:
        return None
    left = min(max(FONT_WIDTH * max(map(len, grid.rows)), 60.0), MAX_LABEL) + 12
    slanted = _column(left, RIGHT, len(grid.columns)) < FONT_WIDTH * max(map(len, grid.columns)) + 4
    slant = min(max(map(len, grid.columns)) * FONT_WIDTH * 0.75, 130.0) if slanted else 0.0
    right = RIGHT + 0.8 * slant
    step = _column(left, right, len(grid.columns))
    top = TOP + slant + (18 if grid.axes else 0)
    titles = text(12, 12, grid.axes, "unit")
    heads = "".join(_head(label, left + step * (i + 0.5), top - 6, slanted) for i, label in enumerate(grid.columns))
    names = "".join(
        text(left - 10, top + ROW * (i + 0.5) + 4, shortened(label, MAX_LABEL), "tick", "end")
        for i, label in enumerate(grid.rows)
    )
    depth = _Depth.of([cell.value for cell in grid.cells.values()])
    cells = "".join(
        _cell(cell, left + step * column, top + ROW * row, step, depth(cell.value))
        for (row, column), cell in sorted(grid.cells.items())
    )
    width = max(WIDTH, left + step * len(grid.columns) + right)
    return Figure(name, title, alt, titles + heads + names + cells, width, top + ROW * len(grid.rows) + 8, caption)


@dataclass(frozen=True, slots=True)
class _Depth:
    """Opacity of a value between the smallest and the largest."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "_Depth":
        return cls(min(values), max(values))

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return 0.08 + 0.92 * (value - self.low) / span if span else 0.3


def _column(left: float, right: float, count: int) -> float:
    """Return the width of a column, in pixels."""
    return min(max((WIDTH - right - left) / count, MIN_COLUMN), MAX_COLUMN)


def _head(label: str, x: float, y: float, slanted: bool) -> str:
    if not slanted:
        return text(x, y, label, "tick", "middle")
    written = text(0, 0, shortened(label, 170.0), "tick")
    return element("g", tooltip(label) + written, transform=f"translate({number(x)} {number(y)}) rotate(-48)")


def _cell(cell: Cell, x: float, y: float, width: float, depth: float) -> str:
    area = element(
        "rect", x=x + 1, y=y + 1, width=width - 2, height=ROW - 2, rx=2, class_="held", fill_opacity=round(depth, 2)
    )
    border = (
        element("rect", x=x + 2, y=y + 2, width=width - 4, height=ROW - 4, rx=2, class_=cell.mark) if cell.mark else ""
    )
    fits = FONT_WIDTH * len(cell.text) <= width - 2
    look = "cell deep" if depth >= DARK else "cell"
    written = text(x + width / 2, y + ROW / 2 + 4, cell.text, look, "middle") if fits else ""
    return element("g", tooltip(cell.tooltip) + area + border + written)
