"""Placement policies as a scenario names them: built in, installed, or a user's own module beside the file.

A scenario's folder is searched for modules after everything that is installed, so that nothing there can stand in for
something else; it stays on the path, since the run and whoever runs it again in another process import it too.
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
    """Lets modules in a scenario's folder, and in the current one, be found."""
    for place in (str(folder.resolve()), str(File.cwd())):
        if place not in sys.path:
            sys.path.append(place)


def policy_error(name: str, folder: File) -> tuple[str, str] | None:
    """Why there is no such policy, and what is allowed; None if there is one."""
    if ":" in name:
        make_importable(folder)
    elif name not in (names := [*BUILT_IN, *sorted(installed()), DEFAULT]):
        return f'there is no policy "{name}"', f"{choices(name, names)}, module:Class"
    try:
        find(name)
    except UnknownPolicy as error:
        return str(error), "allowed: module:Class, installed or beside the scenario"
    return None


def plug_ins(specs: Iterable[Mapping[str, Any]]) -> set[str]:
    """The policies that specs of adapters name as `module:Class`."""
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
