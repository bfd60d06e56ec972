"""The control API: its description, its errors, and its old paths."""

from pathlib import Path

import httpx

from tests.twin.serve.api import on_sockets
from tests.twin.serve.worlds import SCENARIO
from twin.apiserver.rest import TokenAuthenticator
from twin.scenario import load
from twin.scenario.manifests.admission import definition
from twin.serve.clock import RealTimeClock
from twin.serve.control.api import ControlApi
from twin.serve.network.sockets import listening
from twin.sim.simulation import Simulation


@on_sockets
async def test_the_api_describes_itself_and_reports_errors_as_status_objects(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(SCENARIO)
    simulation = Simulation(load(file))
    simulation.store.register_crd(definition())
    access = TokenAuthenticator(open=True)
    control = ControlApi(simulation, RealTimeClock(), access, trusting=True, operated=True)
    async with listening(control) as address, httpx.AsyncClient(base_url=address.url, trust_env=False) as client:
        assert (await client.get("/docs")).status_code == 200
        assert "/twin/v1/clock" in (await client.get("/openapi.json")).json()["paths"]
        assert {"wallTime", "adapterList"} <= (await client.get("/twin/v1/world")).json().keys()
        answers = [
            await client.post("/twin/v1/pace", json={"speed": 2}),
            await client.post("/twin/v1/clock", json={"colour": "red"}),
            await client.post("/twin/v1/clock", json={"step": "soon"}),
            await client.get("/twin/v1/nothing"),
        ]
        metrics = [await client.get("/metrics"), await client.get("/metrics", params={"replica": "other"})]
    assert [(answer.status_code, answer.json()["kind"]) for answer in answers] == [
        (404, "Status"), (400, "Status"), (400, "Status"), (404, "Status"),
    ]  # fmt: skip
    messages = [answer.json()["message"] for answer in answers]
    assert messages[0] == "unknown path /twin/v1/pace; it is called /twin/v1/clock now"
    assert messages[1].startswith("colour: ")
    assert messages[2].startswith("step: ")
    assert messages[3] == "not found: /twin/v1/nothing"
    assert [(answer.status_code, answer.json()["message"]) for answer in metrics] == [
        (503, "the operator does not run at present"),
        (404, "unknown replica other; allowed: lora-controller-0"),
    ]
