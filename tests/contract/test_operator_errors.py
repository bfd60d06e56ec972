"""An object that the operator's own code cannot work on keeps no other waiting, and its users see it in an event."""

from unittest.mock import patch

from controller.api.types import EVENTS
from controller.reconcile.executor import Result
from controller.reconcile.reconciler import Reconciler
from tests.contract.cluster import Cluster
from tests.contract.worlds import World

_RECONCILE = Reconciler.reconcile


async def test_an_error_of_the_operator_stops_the_work_for_one_adapter_only(world: World) -> None:
    odd = True

    async def reconcile(self: Reconciler, key: str) -> Result:
        if odd and key.endswith("/odd"):
            raise KeyError("a-secret")
        return await _RECONCILE(self, key)

    cluster = Cluster(world)
    await cluster.add_pod("qwen-0", "10.0.0.1")
    await cluster.add_adapter("odd")
    await cluster.add_adapter("sql")
    with patch.object(Reconciler, "reconcile", reconcile):
        async with cluster.operating(isolates_errors=True):
            await cluster.until(cluster.is_running)
            await cluster.until(lambda: is_told(world))
            odd = False
            await cluster.until(lambda: cluster.is_running("odd"))


async def is_told(world: World) -> bool:
    """Return whether an event names the kind of error; its text may have a secret, and is left to the log."""
    events = (await world.client.list(EVENTS, namespace=world.namespace)).items
    notes = [event.note for event in events if event.reason == "OperatorError"]
    assert not any("a-secret" in note for note in notes)
    return any("(KeyError)" in note for note in notes)
