"""`/metrics` of a served operator, in this process or in one of its own."""

from collections.abc import Sequence

import httpx
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from twin.apiserver import ApiError
from twin.serve.operator.process_replica import ProcessReplica
from twin.world.controller_replica import Replica

_TIMEOUT = 5  # seconds


async def scrape(replicas: Sequence[Replica], name: str, accept: str) -> Response:
    """Return the metrics of a replica; without a name, of the leader, or of the first that runs.

    `accept` is the header of the request, which selects the text format.

    Raises:
        ApiError: 404 for an unknown name, 503 if no such replica runs, as nothing listens in the pod on a cluster.
    """
    names = [replica.name for replica in replicas]
    if name and name not in names:
        raise ApiError(404, "NotFound", f"unknown replica {name}; allowed: {', '.join(names)}")
    running = [replica for replica in replicas if replica.alive and name in ("", replica.name)]
    if not running:
        raise ApiError(503, "ServiceUnavailable", f"{name or 'the operator'} does not run at present")
    replica = next((item for item in running if item.leading), running[0])
    if isinstance(replica, ProcessReplica):
        return await _from_process(replica, accept)
    encode, content_type = choose_encoder(accept)
    return Response(encode(replica.metrics.registry), headers={"content-type": content_type})


async def _from_process(replica: ProcessReplica, accept: str) -> Response:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT) as client:
            answer = await client.get(f"http://{replica.metrics_address}/metrics", headers={"accept": accept})
    except httpx.TransportError as error:
        raise ApiError(503, "ServiceUnavailable", f"{replica.name} does not answer yet: {error}") from error
    return Response(answer.content, answer.status_code, headers={"content-type": answer.headers["content-type"]})
