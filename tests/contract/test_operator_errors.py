"""An object that the operator's own code cannot work on keeps no other waiting, and its users see it in an event."""

from unittest.mock import patch

from controller.api.types import EVENTS
from controller.client.interface import Forbidden
from controller.reconcile.actions import WriteAnnotations
from controller.reconcile.executor import PlanExecutor, Result
from controller.reconcile.reconciler import Reconciler
from controller.requests.load_monitor import LoadMonitor
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


async def test_refused_annotations_are_an_event_with_the_words_of_the_server(world: World) -> None:
    """No load can be announced, and the status has nothing to say about that."""
    words = 'admission webhook "policy.example.com" denied the request: annotations are locked'
    refused, write = True, PlanExecutor._write_annotations

    async def write_annotations(self: PlanExecutor, action: WriteAnnotations) -> None:
        if refused:
            raise Forbidden(words, code=403)
        await write(self, action)

    cluster = Cluster(world)
    await cluster.add_pod("qwen-0", "10.0.0.1")
    await cluster.add_adapter("sql")
    with patch.object(PlanExecutor, "_write_annotations", write_annotations):
        async with cluster.operating():
            await cluster.until(lambda: is_refused(world, words))
            refused = False
            await cluster.until(cluster.is_running)


async def is_refused(world: World, words: str) -> bool:
    events = (await world.client.list(EVENTS, namespace=world.namespace)).items
    return any(event.reason == "FailedUpdate" and words in event.note for event in events)


async def test_an_error_in_reading_engines_metrics_leaves_the_rest_at_work(world: World) -> None:
    async def fail(_: LoadMonitor) -> None:
        raise KeyError

    cluster = Cluster(world)
    await cluster.add_pod("qwen-0", "10.0.0.1")
    await cluster.add_adapter()
    with patch.object(LoadMonitor, "run", fail):
        async with cluster.operating(isolates_errors=True):
            await cluster.until(cluster.is_running)


async def is_told(world: World) -> bool:
    """Return whether an event names the kind of error; its text may have a secret, and is left to the log."""
    events = (await world.client.list(EVENTS, namespace=world.namespace)).items
    notes = [event.note for event in events if event.reason == "OperatorError"]
    assert not any("a-secret" in note for note in notes)
    return any("(KeyError)" in note for note in notes)
