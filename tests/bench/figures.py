"""Raw events: CPU seconds in a unit that carries over from one machine to another."""

from collections.abc import Mapping

CPU_SECONDS = "CPU seconds"
_NOTABLE = 0.2
"""Share by which a figure may change before it is pointed out."""


def raw_events(figures: Mapping[str, float], simpy_rate: float) -> dict[str, float]:
    """Return the millions of raw events of each figure in CPU seconds; `simpy_rate`: bare SimPy timeouts a second."""
    return {
        name.removesuffix(CPU_SECONDS) + "million raw events": round(figure * simpy_rate / 1e6, 3)
        for name, figure in figures.items()
        if name.endswith(CPU_SECONDS)
    }


def comparison(events: float, stored: float | None) -> str:
    """Return the text behind a figure that differs notably from the stored one; otherwise an empty string."""
    if stored is None:
        return "  (nothing stored)"
    change = events / stored - 1
    if abs(change) < _NOTABLE:
        return ""
    return f"  {'SLOWER' if change > 0 else 'faster'} by {abs(change):.0%} than stored ({stored:,.2f})"
