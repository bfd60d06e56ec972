"""YAML output in block style, in the given order, without anchors."""

import io
from typing import Any

from ruamel.yaml import YAML


def yaml_text(value: Any, *, width: int = 120) -> str:
    """Return the YAML text of plain values; equal values give equal texts."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = width
    yaml.allow_unicode = True
    yaml.representer.ignore_aliases = lambda _: True
    out = io.StringIO()
    yaml.dump(value, out)
    return out.getvalue()
