"""Plays stories: all of them side by side in a real control plane, each in a twin of its own."""

import asyncio
from collections.abc import Callable, Sequence

from tests.conformance_kubernetes.clusters import Cluster, in_twin, real_cluster
from tests.conformance_kubernetes.control_plane import ControlPlane
from tests.conformance_kubernetes.stage import Stage, Step, Story

_AT_ONCE = 6


async def play(cluster: Cluster, story: Story) -> list[Step]:
    """Play a story in a namespace of its own."""
    stage = Stage(cluster, story)
    await stage.api.create({"kind": "Namespace", "metadata": {"name": story.name}})
    await story.play(stage)
    return stage.steps


def play_in_twin(story: Story) -> list[Step]:
    """Play a story in a new simulated cluster."""
    return in_twin(lambda cluster: play(cluster, story))


async def play_in_control_plane(
    control_plane: ControlPlane, stories: Sequence[Story], on_played: Callable[[Story, list[Step]], None]
) -> None:
    """Play stories in a real control plane: those with nodes of their own one after the other, at the end.

    Args:
        control_plane: where they are played.
        stories: the stories.
        on_played: called with each story and its steps.

    Raises:
        ExceptionGroup: stories that could not be played, after all others.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(story: Story, cluster: Cluster) -> None:
        async with places:
            on_played(story, await play(cluster, story))

    async with real_cluster(control_plane) as cluster:
        side_by_side = [one(story, cluster) for story in stories if not story.alone]
        results = await asyncio.gather(*side_by_side, return_exceptions=True)
        for story in stories:
            if story.alone:
                results += await asyncio.gather(one(story, cluster), return_exceptions=True)
    if errors := [result for result in results if isinstance(result, Exception)]:
        raise ExceptionGroup("some stories could not be played", errors)
