"""Changes by users during the run: `kubectl patch`, `kubectl delete` and `kubectl create` at a given time.

An edit refers to an object in the manifests or of an adapter template. It is applied to that object when the scenario
is loaded, so that an edit that the API server would refuse is reported with its position in the file.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from formats.durations import format_duration
from twin.apiserver.patch.json_patch import merge
from twin.scenario.errors import Problem, choices
from twin.scenario.manifests.admission import ACCEPTED, Admission
from twin.scenario.manifests.reader import Entry
from twin.scenario.sections.adapters import AdapterTemplate
from twin.scenario.sections.base_model import Flag, ScenarioModel
from twin.scenario.units import Duration, value_error
from twin.scenario.yaml.positions import Document

_NAMED = 20
"""Maximum number of names in a message."""


class Edit(ScenarioModel):
    """One change of an object by a user."""

    at: Duration
    """Time of the change."""
    of: Annotated[str, Field(pattern=r"^[A-Za-z]+/[^/]+$")]
    """Object: `KIND/NAME`, such as `ModelAdapter/sql-0`."""
    namespace: Annotated[str, Field(min_length=1)] = "default"
    """Namespace of the object."""
    patch: dict[str, Any] | None = None
    """A JSON merge patch, as for `kubectl patch --type merge`: null removes a field, lists are replaced."""
    delete: Flag = False
    """Delete it instead."""
    create: Flag = False
    """Create it again, as it was at first, as soon as the one that was deleted before is gone."""

    @model_validator(mode="after")
    def _one_of_three(self) -> "Edit":
        if (self.patch is not None) + self.delete + self.create != 1:
            allowed = "allowed: patch: {…}, delete: true, or create: true"
            raise value_error("an edit is a patch, a deletion or a creation", allowed)
        return self

    @property
    def kind(self) -> str:
        return self.of.split("/")[0]

    @property
    def name(self) -> str:
        return self.of.split("/")[1]

    @property
    def resource(self) -> str:
        """Return the kind's resource in the store."""
        return ACCEPTED[self.kind][1]


def check_edits(
    edits: Sequence[Edit],
    duration: float,
    document: Document,
    entries: Sequence[Entry],
    templates: Sequence[AdapterTemplate],
    admission: Admission,
) -> Iterator[Problem]:
    """Check that edits are during the run, refer to existing objects, and are accepted by the API server."""
    objects = dict(_objects(entries, templates))
    for index, edit in sorted(enumerate(edits), key=lambda pair: pair[1].at):
        at = ("edits", index)
        if edit.at >= duration:
            message = f"is at {format_duration(edit.at)}, after the end of the run"
            yield document.problem((*at, "at"), message, f"allowed: before the run ends, {format_duration(duration)}")
        place = (edit.kind, edit.namespace, edit.name)
        if edit.kind not in ACCEPTED:
            yield document.problem((*at, "of"), f'unknown kind "{edit.kind}"', choices(edit.kind, ACCEPTED))
        elif place not in objects:
            names = sorted(n for kind, space, n in objects if (kind, space) == (edit.kind, edit.namespace))
            message = f'{edit.kind} "{edit.name}" not found in namespace {edit.namespace}'
            yield document.problem((*at, "of"), message, choices(edit.name, names[:_NAMED]))
        elif edit.patch is not None:
            objects[place] = merge(objects[place], edit.patch)
            for path, message in admission.refusals(objects[place]):
                yield document.problem((*at, "patch", *path), message)


def _objects(
    entries: Sequence[Entry], templates: Sequence[AdapterTemplate]
) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
    for entry in entries:
        yield (entry.kind, entry.namespace, entry.name), entry.object
    for template in templates:
        for number in range(template.count):
            manifest = template.manifest(number)
            meta = manifest["metadata"]
            yield (manifest["kind"], meta["namespace"], meta["name"]), manifest
