"""Turn a fitted step-time model into entries of the model profile, each with its uncertainty."""

from collections.abc import Iterator, Sequence

from twin.calibration.calibration import CalibratedParameter, Calibration
from twin.calibration.load_test.records import ServerSettings
from twin.calibration.step_fit.fit import StepFit
from twin.calibration.step_fit.prediction import held_back_errors
from twin.calibration.step_fit.report import prediction_rows, prediction_total

_UNKNOWN = 1.0
"""Share from which an uncertainty says that the load test does not determine the entry alone, or is too noisy."""


def calibration_of(fit: StepFit, sources: Sequence[str]) -> Calibration:
    """Return the entries of a fit, and its errors for the levels that it has not seen."""
    errors = held_back_errors(fit.levels, fit.timing)
    return Calibration(
        parameters=(*_fitted(fit), *_measured(fit)),
        sources=tuple(sources),
        predictions=prediction_rows(errors),
        prediction_total=prediction_total(errors),
    )


def merged(one: Calibration, two: Calibration) -> Calibration:
    """Return the entries of both; those of `two` take precedence."""
    entries = {parameter.entry for parameter in two.parameters}
    kept = tuple(parameter for parameter in one.parameters if parameter.entry not in entries)
    sources = (*one.sources, *two.sources)
    return Calibration((*kept, *two.parameters), sources, two.predictions, two.prediction_total)


def _fitted(fit: StepFit) -> Iterator[CalibratedParameter]:
    seen = sum(not level.is_held_back for level in fit.levels)
    for name, value in fit.values.items():
        share = fit.uncertainty[name]
        certainty = f"± {100 * share:.0f} %" if share < _UNKNOWN else "± over 100 %: known in sums with others at best"
        description = f"{certainty}; fitted to {seen} levels of the load test"
        yield CalibratedParameter(f"timing.{name}", value, description, uncertainty=share if share < _UNKNOWN else None)


def _measured(fit: StepFit) -> Iterator[CalibratedParameter]:
    servers = [level.test.server for level in fit.levels]
    server: ServerSettings = servers[0]
    if fit.timing.lora is not None:
        yield CalibratedParameter("timing.lora.rank", server.max_lora_rank, "--max-lora-rank of the measured server")
    yield CalibratedParameter("timing.spread", fit.timing.spread, "95th percentile over median of lone first tokens")
    yield CalibratedParameter(
        "timing.batched_tokens", server.max_num_batched_tokens, "--max-num-batched-tokens of the measured server"
    )
    if server.kv_tokens:
        yield CalibratedParameter("timing.kv_tokens", server.kv_tokens, "as the server says, beside its LoRA slots")
