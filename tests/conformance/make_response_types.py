"""Makes `fake_vllm/openai/responses_api/openai_types.json` from the `openai` package, without arguments.

vLLM takes the types of Responses' input items and tools from that package. There are some 370, and clients see their
names and order in errors. The fake reads them from a file of this form:

    {"module.Class": {"kind": "dict" or "model", "fields": {"name": TYPE, "name?": TYPE}}, "=name": TYPE}

A name with a question mark may be absent. A TYPE is a name (`str`, `int`, ..., or one in the file) or a list: its kind
and what it is made of.
"""

import json
from pathlib import Path
from typing import Any

from openai.types.responses import ResponseInputItemParam, ResponseOutputItem, ResponsePrompt, ResponseTextConfig
from openai.types.responses.response import ToolChoice
from openai.types.responses.tool import Tool
from openai.types.shared import Reasoning
from pydantic import BaseModel

from fake_vllm.openai.responses_api import openai_types


class _Roots(BaseModel):
    """The types that a request's fields have."""

    input_item: ResponseInputItemParam | ResponseOutputItem
    tool: Tool
    tool_choice: ToolChoice
    prompt: ResponsePrompt
    text: ResponseTextConfig
    reasoning: Reasoning


def main() -> None:
    write(Path(openai_types.__file__).with_name("openai_types.json"))


def write(path: Path) -> None:
    """Write the types, one a line."""
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in response_types().items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def response_types() -> dict[str, Any]:
    """Return the content of the file."""
    schema = _Roots.__pydantic_core_schema__
    writer = _Writer()
    for definition in schema["definitions"]:  # type: ignore[typeddict-item]
        writer.written(definition)
    fields = schema["schema"]["schema"]["fields"]  # type: ignore[typeddict-item]
    roots = {f"={name}": writer.written(field["schema"]) for name, field in fields.items()}
    return {**dict(sorted(writer.types.items())), **roots}


class _Writer:
    """Writes schemas of pydantic-core as types of the file."""

    def __init__(self) -> None:
        self.types: dict[str, Any] = {}

    def written(self, schema: Any) -> Any:
        """Return one schema as a type; classes become entries of `types`."""
        match schema["type"]:
            case "str" | "int" | "float" | "bool" | "any" as name:
                return name
            case "typed-dict" | "model" as kind:
                return self._class(schema, kind)
            case "definition-ref":
                return _name(schema["schema_ref"])
            case "json-or-python":  # pydantic's schema of a `Sequence`
                return ["sequence", self.written(schema["json_schema"]["items_schema"])]
            case "list" | "generator" as name:
                return [name, self.written(schema["items_schema"])]
            case "literal":
                return ["literal", *schema["expected"]]
            case "union":
                return ["union", *(self.written(choice) for choice in schema["choices"])]
            case "nullable":
                return ["nullable", self.written(schema["schema"])]
            case "dict":
                return ["dict", self.written(schema["keys_schema"]), self.written(schema["values_schema"])]
            case "default":
                return ["default", self.written(schema["schema"]), schema["default"]]
            case other:
                raise ValueError(f"no form for a schema of type {other}")

    def _class(self, schema: Any, kind: str) -> str:
        name = _name(schema["ref"])
        if name not in self.types:
            self.types[name] = None  # it may contain itself
            fields = schema["fields"] if kind == "typed-dict" else schema["schema"]["fields"]
            self.types[name] = {
                "kind": "dict" if kind == "typed-dict" else "model",
                "fields": {_field_name(key, field): self.written(field["schema"]) for key, field in fields.items()},
            }
        return name


def _name(ref: str) -> str:
    return ref.partition(":")[0].removeprefix("openai.types.").removeprefix("responses.")


def _field_name(key: str, field: Any) -> str:
    alias = field.get("validation_alias")
    name = key if alias is None else f"{key}={alias}"
    return name if field.get("required", True) else f"{name}?"


if __name__ == "__main__":
    main()
