"""Template environment, stylesheets and scripts that all pages of experiments share."""

from typing import Any

import jinja2

from twin.report.page import format_value, source
from twin.report.svg import stylesheet


def fill(name: str, **values: Any) -> str:
    """Return a page: the template `name` of `twin/report`, filled with `values` and the shared styles and scripts."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template(name).render(
        style=source("page.css") + stylesheet() + source("comparison.css"),
        script=source("figures.js") + source("tables.js"),
        format_value=format_value,
        **values,
    )
