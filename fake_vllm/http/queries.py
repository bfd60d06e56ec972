"""Query strings as pydantic models, with the errors of FastAPI's `Query` parameters."""

from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from fake_vllm.http.validation import RequestValidationError

M = TypeVar("M", bound=BaseModel)


def parse_query(model: type[M], query: str) -> M:
    """Return the model that a query string holds; of a repeated name the last value counts.

    Raises:
        RequestValidationError: if it does not fit the model.
    """
    try:
        return model.model_validate(dict(parse_qsl(query, keep_blank_values=True)))
    except ValidationError as error:
        errors = error.errors(include_url=False)
        raise RequestValidationError.of([{**item, "loc": ("query", *item["loc"])} for item in errors]) from None


def values_of(query: str, name: str) -> list[str]:
    """Return every value of a name in a query string."""
    return [value for key, value in parse_qsl(query, keep_blank_values=True) if key == name]
