"""The table of prediction errors on the terminal."""

from rich.markup import escape
from rich.table import Table

from twin.calibration import Calibration
from twin.calibration.prediction_text import HEADINGS, prediction_lines, total_lines


def prediction_table(calibration: Calibration) -> Table:
    """Return the errors by load, then those of all loads."""
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for heading in HEADINGS:
        table.add_column(heading)
    for cells in prediction_lines(calibration):
        table.add_row(*map(escape, cells))
    table.add_section()
    for cells in total_lines(calibration):
        table.add_row(*map(escape, cells))
    return table
