"""Nodes: the objects and kubelets of a scenario's nodes, and the controllers that react to nodes of any client."""
