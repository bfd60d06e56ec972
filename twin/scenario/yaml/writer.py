"""YAML as people write it: in blocks, in the order given, nothing behind an anchor."""

import io
from typing import Any

from ruamel.yaml import YAML


def yaml_text(value: Any, *, width: int = 120) -> str:
    """The text of plain values; the same values give the same text."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = width
    yaml.allow_unicode = True
    yaml.representer.ignore_aliases = lambda _: True
    out = io.StringIO()
    yaml.dump(value, out)
    return out.getvalue()
