"""The stories that are played to a real control plane and to the twin."""

from tests.conformance_kubernetes.stories import (
    autoscaling,
    autoscaling_limits,
    daemonsets,
    deployments,
    garbage,
    jobs,
    namespaces,
    nodes,
    policies,
    replicasets,
    services,
    statefulsets,
)

STORIES = (
    *deployments.STORIES,
    *replicasets.STORIES,
    *statefulsets.STORIES,
    *daemonsets.STORIES,
    *jobs.STORIES,
    *garbage.STORIES,
    *namespaces.STORIES,
    *services.STORIES,
    *policies.STORIES,
    *nodes.STORIES,
    *autoscaling.STORIES,
    *autoscaling_limits.STORIES,
)
