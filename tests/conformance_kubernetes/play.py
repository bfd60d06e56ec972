"""Plays stories: all of them side by side in a real control plane, each in a twin of its own."""

import asyncio
from collections.abc import Callable, Sequence

from tests.conformance_kubernetes.clusters import Cluster, in_twin, real_cluster, serve_metrics
from tests.conformance_kubernetes.control_plane import ControlPlane
from tests.conformance_kubernetes.stage import Stage, Step, Story

_AT_ONCE = 6


async def play(cluster: Cluster, story: Story) -> list[Step]:
    """Play a story in a namespace of its own."""
    stage = Stage(cluster, story)
    cluster.metrics.served = story.metrics
    await stage.api.create({"kind": "Namespace", "metadata": {"name": story.name}})
    await story.play(stage)
    return stage.steps


def play_in_twin(story: Story) -> list[Step]:
    """Play a story in a new simulated cluster."""
    return in_twin(lambda cluster: play(cluster, story))


async def play_in_control_plane(
    control_plane: ControlPlane, stories: Sequence[Story], on_played: Callable[[Story, list[Step]], None]
) -> None:
    """Play stories in a real control plane.

    Those with nodes of their own are played one after the other, and those with metrics at the end, when the metrics
    APIs have been registered.

    Args:
        control_plane: where they are played.
        stories: the stories.
        on_played: called with each story and its steps.

    Raises:
        ExceptionGroup: stories that could not be played, after all others.
    """
    measured = [story for story in stories if story.metrics]
    others = [story for story in stories if not story.metrics]

    async def play_some(cluster: Cluster, chosen: Sequence[Story], at_once: int) -> list[BaseException | None]:
        places = asyncio.Semaphore(at_once)

        async def one(story: Story) -> None:
            async with places:
                on_played(story, await play(cluster, story))

        return await asyncio.gather(*map(one, chosen), return_exceptions=True)

    async with real_cluster(control_plane) as cluster:
        results = await play_some(cluster, [story for story in others if not story.alone], _AT_ONCE)
        results += await play_some(cluster, [story for story in others if story.alone], 1)
        if measured:
            async with serve_metrics(cluster):
                results += await play_some(cluster, measured, len(measured))  # they wait most of the time
    if errors := [result for result in results if isinstance(result, Exception)]:
        raise ExceptionGroup("some stories could not be played", errors)
