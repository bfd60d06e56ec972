"""Durations, sizes and rates as fields of a scenario. `tests/formats` has the grammar."""

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from twin.scenario.units import Bandwidth, Duration, PositiveDuration, Rate, Size


class Model(BaseModel):
    wait: Duration
    size: Size
    link: Bandwidth
    rate: Rate


def test_written_values_are_read_as_equal_ones() -> None:
    model = Model.model_validate({"wait": "1h30m", "size": "80MiB", "link": "2Gbit/s", "rate": "4/min"})
    assert (model.wait, model.size, model.link) == (5400, 80 * 2**20, 250e6)
    assert model.model_dump() == {"wait": "1h30m", "size": "80MiB", "link": "2Gbit/s", "rate": "4/min"}
    assert Model.model_validate(model.model_dump()) == model


def test_an_error_has_the_cause_and_the_allowed_values() -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(Duration).validate_python("soon")
    context = raised.value.errors()[0]["ctx"]
    assert context["message"] == '"soon" is not a duration'
    assert context["allowed"] == "allowed: a duration such as 250ms, 90s, 1h30m or 2d"


def test_zero_is_a_duration_but_not_a_positive_one() -> None:
    assert TypeAdapter(Duration).validate_python(0) == 0
    with pytest.raises(ValidationError, match="must be longer than 0"):
        TypeAdapter(PositiveDuration).validate_python(0)
