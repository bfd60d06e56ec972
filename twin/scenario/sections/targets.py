"""Targets of a fault: all pods, a share, a number, names, or labels; and nodes likewise.

The targets are selected when the fault occurs, among the existing pods, because generated names are not known earlier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from twin.scenario.sections.base_model import Count, Flag, Probability, ScenarioModel
from twin.scenario.units import value_error

if TYPE_CHECKING:
    import numpy as np

_FORMS = "allowed: all, {fraction: 0.25}, {count: 2}, {names: [...]}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Possible target: a pod (`name` is namespace/name) or a node."""

    name: str
    labels: Mapping[str, str]
    workload: str = ""
    """Workload of the pod."""
    node: str = ""
    """Node of the pod."""


class NodeTargets(ScenarioModel):
    """Selection of nodes."""

    all: Flag = False
    """All of them."""
    fraction: Probability | None = None
    """Share of them, at least one."""
    count: Count | None = None
    """Number of them, selected at random."""
    names: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Names; `*` and `?` as in a shell."""

    def _chosen_by(self) -> list[str]:
        return [name for name in type(self).model_fields if name != "of" and getattr(self, name)]

    @model_validator(mode="after")
    def _one_form(self) -> "NodeTargets":
        forms = self._chosen_by()
        if len(forms) > 1:
            raise value_error(f"selects twice, by {' and by '.join(forms)}", f"{_FORMS}: one of them", (forms[1],))
        if not forms and not getattr(self, "of", ""):
            raise value_error("selects nothing", _FORMS)
        return self

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        fields = {name: value for name, value in handler(self).items() if value}
        return "all" if fields == {"all": True} else fields

    def fits(self, candidate: Candidate) -> bool:
        """Return whether a candidate can be selected."""
        if not self.names:
            return True
        short = candidate.name.rsplit("/", 1)[-1]
        return any(fnmatchcase(candidate.name, name) or fnmatchcase(short, name) for name in self.names)

    def pick(self, candidates: Sequence[Candidate], rng: "np.random.Generator") -> list[str]:
        """Return the selected names, sorted. Draws random numbers only if necessary."""
        eligible = sorted(candidate.name for candidate in candidates if self.fits(candidate))
        number = self.count if self.fraction is None else max(1, round(self.fraction * len(eligible)))
        if number is None or number >= len(eligible):
            return eligible
        return sorted(eligible[index] for index in rng.permutation(len(eligible))[:number])


class PodTargets(NodeTargets):
    """Selection of pods."""

    selector: dict[str, str] = {}
    """Pods with all of these labels."""
    of: str = ""
    """Only pods of this Deployment, StatefulSet or other workload."""

    def fits(self, candidate: Candidate) -> bool:
        return (
            super().fits(candidate)
            and (not self.of or candidate.workload == self.of)
            and all(candidate.labels.get(key) == value for key, value in self.selector.items())
        )


def _spelled(value: Any) -> Any:
    if value == "all":
        return {"all": True}
    if not isinstance(value, Mapping | NodeTargets):
        raise value_error("selects nothing", _FORMS)
    return value


Pods = Annotated[PodTargets, BeforeValidator(_spelled, json_schema_input_type=PodTargets | Literal["all"])]
Nodes = Annotated[NodeTargets, BeforeValidator(_spelled, json_schema_input_type=NodeTargets | Literal["all"])]
ALL_PODS = PodTargets.model_construct(all=True)  # valid; checking it would build a validator at import
