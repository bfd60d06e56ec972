"""What all sections of a scenario share: frozen, no unknown fields, and the small types that many of them use."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A mapping in a scenario file. The docstrings of fields are what `twin schema` says about them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Whole = Annotated[int, Field(strict=True, ge=0, le=100_000)]
Probability = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
