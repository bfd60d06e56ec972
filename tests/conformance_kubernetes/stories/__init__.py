"""The stories that are played to a real control plane and to the twin."""

from tests.conformance_kubernetes.stories import deployments, namespaces, statefulsets

STORIES = (*deployments.STORIES, *statefulsets.STORIES, *namespaces.STORIES)
