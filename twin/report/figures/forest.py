"""Forest plot: relative differences with their confidence intervals."""

from collections.abc import Sequence

from twin.evaluate.statistics import Comparison, scale
from twin.report.directions import verdict
from twin.report.svg import Figure, Scale, element, legend_rows, number, text, tooltip, translate
from twin.report.wording import describe, format_measure, format_number, label

WIDTH, LEFT, RIGHT = 880.0, 250.0, 250.0
ROW, GAP, TOP, MARGIN = 17.0, 9.0, 46.0, 12.0
COLOURS = ("one", "two", "three", "four", "five", "six")
MAX_REACH = 1.0
"""Maximum of the axis, as a share of the baseline; intervals beyond it end in an arrow."""


def colour(number: int) -> str:
    """Return the CSS classes of variant `number`; after the last colour the first is used again, dashed."""
    return COLOURS[number % len(COLOURS)] + (" again" if number >= len(COLOURS) else "")


def forest(comparisons: Sequence[Comparison], variants: Sequence[str]) -> Figure | None:
    """Draw the relative differences of every measure that differs, with a row for each variant.

    `variants` are all variants in order, the baseline first. They have the same colours as in the other figures.
    """
    drawn = [c for c in comparisons if c.ci_low is not None and not c.identical and scale(c)]
    measures = list(dict.fromkeys(c.measure for c in drawn))
    if not drawn:
        return None
    reach = min(max(max(abs(low), abs(high)) for low, high in map(_relative_interval, drawn)) * 1.05, MAX_REACH)
    x = Scale(-reach, reach, LEFT, WIDTH - RIGHT)
    parts, y = list[str](), TOP
    for measure in measures:
        rows = [c for c in drawn if c.measure == measure]
        parts.append(text(LEFT - 12, y + ROW * len(rows) / 2 + 4, label(measure), "tick", "end"))
        for comparison in rows:
            parts.append(_row(comparison, x, y + ROW / 2, colour(variants.index(comparison.variant))))
            y += ROW
        y += GAP
    axis = "".join(_tick(x, share, y) for share in (-reach, -reach / 2, 0.0, reach / 2, reach))
    zero = element("line", x1=x(0), x2=x(0), y1=TOP - 8, y2=y, class_="axis")
    key, more = legend_rows(((colour(i), v) for i, v in enumerate(variants) if i), MARGIN, 14, WIDTH - MARGIN)
    caption = text(x(0), y + 32, "difference from the baseline, as a share of the value", "unit", "middle")
    alt = (
        "; ".join(f"{c.variant}: {describe(c)}" for c in drawn if c.significant)
        or "No statistically significant difference."
    )
    return Figure(
        "forest",
        "Differences and their confidence intervals",
        alt,
        key + translate(axis + zero + "".join(parts) + caption, more),
        WIDTH,
        y + 42 + more,
        "Means of the paired differences with their confidence intervals. Filled: statistically significant after "
        "correction for all comparisons; hollow: not. An arrow continues beyond the axis.",
    )


def _row(comparison: Comparison, x: Scale, y: float, colour: str) -> str:
    low, high = _relative_interval(comparison)
    middle = _relative(comparison, comparison.difference or 0.0)
    ends = [min(max(end, x.low), x.high) for end in (low, high)]
    line = element("line", x1=x(ends[0]), x2=x(ends[1]), y1=y, y2=y, class_=f"line {colour}")
    arrows = "".join(
        element("path", d=f"M{number(x(at))} {number(y)}l{-7 * sign} -4v8z", class_=f"mark {colour}")
        for end, at, sign in ((low, x.low, -1), (high, x.high, 1))
        if (end < x.low if sign < 0 else end > x.high)
    )
    dot = ""
    if x.low <= middle <= x.high:
        form = "mark" if comparison.significant else "hollow"
        dot = element("circle", cx=x(middle), cy=y, r=4.2, class_=f"{form} {colour}")
    word = verdict(comparison) if comparison.significant else "open"
    change = text(WIDTH - RIGHT + 14, y + 4, _change(comparison), f"tick {word}")
    return element("g", tooltip(f"{comparison.variant}: {describe(comparison)}") + line + arrows + dot + change)


def _change(comparison: Comparison) -> str:
    word = f" {verdict(comparison)}" if comparison.significant else ""
    if not comparison.baseline_mean:
        return f"{format_measure(comparison.measure, comparison.difference, sign=True)}{word}"
    low, high = _relative_interval(comparison)
    middle = _relative(comparison, comparison.difference or 0.0)
    return f"{_percent(middle)} [{_percent(low)} to {_percent(high)}]{word}"


def _percent(share: float) -> str:
    """Return a relative difference, as a factor from ten on."""
    if share >= 9:
        return f"{1 + share:,.0f}x"
    sign = "+" if share > 0 else ""
    return f"{sign}{100 * share:.0f} %" if abs(share) >= 0.1 else f"{sign}{format_number(100 * share, 2)} %"


def _relative_interval(comparison: Comparison) -> tuple[float, float]:
    return _relative(comparison, comparison.ci_low or 0.0), _relative(comparison, comparison.ci_high or 0.0)


def _relative(comparison: Comparison, difference: float) -> float:
    """Return a difference as a share of the baseline. No measure is negative, so none falls by more than all of it."""
    return max(difference / (abs(comparison.baseline_mean or 0.0) or scale(comparison)), -1.0)


def _tick(x: Scale, share: float, y: float) -> str:
    line = element("line", x1=x(share), x2=x(share), y1=TOP - 8, y2=y, class_="grid")
    return line + text(x(share), y + 16, _percent(share) if share else "0", "tick", "middle")
