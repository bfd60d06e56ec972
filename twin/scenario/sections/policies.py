"""Placement policies in a scenario: built-in, installed, or `module:Class` in a module beside the file.

The scenario's folder is appended to the import path, so its modules cannot replace installed ones. It stays there,
because the run imports the policy as well.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path as File
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationInfo

from controller.policies import BUILT_IN, DEFAULT, UnknownPolicy, find, installed
from twin.scenario.errors import choices
from twin.scenario.units import value_error


def make_importable(folder: File) -> None:
    """Append a scenario's folder and the current folder to the import path."""
    for place in (str(folder.resolve()), str(File.cwd())):
        if place not in sys.path:
            sys.path.append(place)


def policy_error(name: str, folder: File) -> tuple[str, str] | None:
    """Return what is wrong with the name of a policy and what is allowed, or None if it exists."""
    if ":" in name:
        make_importable(folder)
    elif name not in (names := [*BUILT_IN, *sorted(installed()), DEFAULT]):
        return f'unknown policy "{name}"', f"{choices(name, names)}, module:Class"
    try:
        find(name)
    except UnknownPolicy as error:
        return str(error), "allowed: module:Class, installed or beside the scenario"
    return None


def plug_ins(specs: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the policies that adapter specs name as `module:Class`."""
    return {name for spec in specs if ":" in (name := str(spec.get("schedulerName", "")))}


def _checked(name: str, info: ValidationInfo) -> str:
    context: dict[str, Any] = info.context or {}
    if wrong := policy_error(name, File(context.get("folder", "."))):
        raise value_error(*wrong)
    return name


def _plug_in(name: str, info: ValidationInfo) -> str:
    if ":" not in name:
        raise value_error(
            f'"{name}" is not a plug-in', "allowed: module:Class; built-in and installed policies need no entry"
        )
    return _checked(name, info)


Policy = Annotated[str, AfterValidator(_checked)]
PlugIn = Annotated[str, AfterValidator(_plug_in)]
