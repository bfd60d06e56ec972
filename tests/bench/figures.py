"""Raw events: CPU seconds in a unit that carries over from one machine to another."""

from collections.abc import Mapping

CPU_SECONDS = "CPU seconds"
CPU_RATE = " a CPU second"
_NOTABLE = 0.2
"""Share by which a figure may change before it is pointed out."""


def raw_events(figures: Mapping[str, float], simpy_rate: float) -> dict[str, float]:
    """Return the raw events of each figure in CPU seconds, and for one of what is counted a CPU second.

    `simpy_rate`: bare SimPy timeouts a second.
    """
    events: dict[str, float] = {}
    for name, figure in figures.items():
        if name.endswith(CPU_SECONDS):
            events[events_name(name)] = round(figure * simpy_rate / 1e6, 3)
        elif name.endswith(CPU_RATE) and figure:
            events[events_name(name)] = round(simpy_rate / figure, 1)
    return events


def events_name(name: str) -> str:
    """Return the name of a figure's raw events; empty for a figure that has none."""
    if name.endswith(CPU_SECONDS):
        return name.removesuffix(CPU_SECONDS) + "million raw events"
    return name.removesuffix(CPU_RATE) + ": raw events each" if name.endswith(CPU_RATE) else ""


def comparison(events: float, stored: float | None) -> str:
    """Return the text behind raw events: their ratio to the stored ones, and whether it differs notably from 1."""
    if stored is None:
        return "  (nothing stored)"
    ratio = events / stored
    text = f"  {ratio:.2f} x stored ({stored:,.2f})"
    if abs(ratio - 1) < _NOTABLE:
        return text
    return f"{text}: {'SLOWER' if ratio > 1 else 'faster'} by {abs(ratio - 1):.0%}"
