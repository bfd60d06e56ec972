"""Base class of all sections: frozen, without unknown fields, with defaults as they are written in YAML."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from twin.scenario.sections.docstrings import field_docstrings


class ScenarioModel(BaseModel):
    """Mapping in a scenario file. `twin schema` shows the docstrings of the fields.

    Validators are built at first use: those of parts that are only used inside others, never.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @classmethod
    def written_defaults(cls) -> dict[str, Any]:
        """Return the defaults of the optional fields as they are written in YAML."""
        values = cls.model_construct().model_dump(mode="json", by_alias=True, exclude_none=True)
        return values if isinstance(values, dict) else {}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        defaults = cls.written_defaults()
        meanings = {field.alias or name: field_docstrings(cls).get(name) for name, field in cls.model_fields.items()}
        for name, field in handler.resolve_ref_schema(schema).get("properties", {}).items():
            if meaning := meanings.get(name):
                field["description"] = meaning
            if "default" in field:
                del field["default"]
                field.update({"default": defaults[name]} if name in defaults else {})
        return schema


Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Whole = Annotated[int, Field(strict=True, ge=0, le=100_000)]
Probability = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
