"""Plays stories: all of them side by side in a real control plane, each in a twin of its own."""

import asyncio
from collections.abc import Mapping, Sequence

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


async def play_in_control_plane(control_plane: ControlPlane, stories: Sequence[Story]) -> Mapping[str, list[Step]]:
    """Play stories in a real control plane: those with nodes of their own one after the other, at the end."""
    places = asyncio.Semaphore(_AT_ONCE)
    played: dict[str, list[Step]] = {}

    async def one(story: Story, cluster: Cluster) -> None:
        async with places:
            played[story.name] = await play(cluster, story)
            print(f"{story.name}: {len(played[story.name])} steps", flush=True)

    async with real_cluster(control_plane) as cluster:
        async with asyncio.TaskGroup() as group:
            for story in stories:
                if not story.alone:
                    group.create_task(one(story, cluster))
        for story in stories:
            if story.alone:
                await one(story, cluster)
    return played
