"""The HTTP front as recorded on real servers: CORS, optional routes, guarded paths, metric families."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fake_vllm.cli.command_line import read
from fake_vllm.distributions import Constant
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.flavors import flavor_of
from fake_vllm.router import Request as FakeRequest
from fake_vllm.router import authorize, routes
from fake_vllm.server.front import Front
from tests.conformance import recording
from tests.conformance.cases import CASES
from tests.conformance.exchange import Case, Request
from tests.conformance.profiles import PROFILES
from tests.conformance.recording import Recording
from twin.kernel import loop

RECORDINGS = [recording.read(recording.path_of(version)) for version in recording.versions()]


def an_engine(version: str, profile: str) -> Engine:
    chosen = PROFILES[profile]
    config = read(("vllm", "serve", "acme/tiny", *chosen.flags), chosen.environment, version=version)
    times = EngineTimes(Constant(0.0), Constant(0.0))
    return Engine(config, flavor_of(config), times, Randomness(np.random.default_rng(0)))


def exchanges(prefix: str) -> Iterator[tuple[Recording, Case, Request, dict[str, Any]]]:
    """Yield the recorded steps of cases whose names begin so."""
    for recorded in RECORDINGS:
        for case in CASES:
            if case.name.startswith(prefix) and case.name in recorded.cases:
                for step, answer in zip(case.steps, recorded.cases[case.name], strict=True):
                    if "status" in answer:
                        yield recorded, case, step, answer


def sent(step: Request) -> FakeRequest:
    return FakeRequest(
        step.method, step.path.partition("?")[0], {name.lower(): text for name, text in step.headers.items()}
    )


@pytest.mark.parametrize("profile", ["lora", "front", "any-origin"])
def test_headers_of_cors_and_request_ids_are_the_recorded_ones(profile: str) -> None:
    played = 0
    for recorded, case, step, answer in exchanges(f"routing/{profile}/"):
        engine, request = an_engine(recorded.version, profile), sent(step)
        front = Front(engine.config)
        refused = authorize(engine, request)
        preflight = None if refused else front.preflight(request)
        headers = dict(preflight.headers) if preflight else {}
        added = front.headers(engine, request, cors=refused is None and preflight is None)
        headers |= {name.decode(): value.decode() for name, value in added}
        names = [
            name for name in {**headers, **answer["headers"]} if name.startswith("access-control") or name == "vary"
        ]
        assert {name: headers.get(name) for name in names} == {name: answer["headers"].get(name) for name in names}, (
            case
        )
        assert ("x-request-id" in headers) == ("x-request-id" in answer["headers"]), case
        assert preflight is None or (preflight.status, preflight.body.decode()) == (answer["status"], answer["text"])
        played += 1
    assert played >= 20


def test_the_key_guards_what_it_guards_on_the_real_server() -> None:
    played = 0
    for recorded, case, step, answer in exchanges("authentication/without/"):
        refused = authorize(an_engine(recorded.version, case.profile), sent(step))
        assert (refused is not None) == (answer["status"] == 401), (recorded.version, case.name)
        played += 1
    assert played >= 30


@pytest.mark.parametrize("name", ["listing/openapi", "listing/openapi-no-updating", "development/openapi"])
def test_no_route_is_documented_that_the_real_server_does_not_have(name: str) -> None:
    for recorded, case, _, answer in exchanges(name):
        if case.name == name:
            fake = {
                path for path, route in routes(an_engine(recorded.version, case.profile)).items() if route.documented
            }
            assert fake <= set(answer["json"]["paths"]), recorded.version


def test_metric_families_are_the_recorded_ones() -> None:
    for recorded, case, step, answer in exchanges("metrics/families"):
        if "families" not in answer:
            continue
        engine = an_engine(recorded.version, case.profile)

        async def page(engine: Engine = engine) -> str:
            return engine.metrics_page()

        fake = {
            family.name: (family.type, family.documentation)
            for family in text_string_to_metric_families(loop.run(page()))
        }
        real = {
            name: (entry["type"], entry["help"]) for name, entry in answer["families"].items() if name[:5] == "vllm:"
        }
        assert fake == real, (recorded.version, case.name, step)
