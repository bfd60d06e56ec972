"""The HorizontalPodAutoscaler controller.

Metrics in, sizes out: `metrics.py` reads, `replica_count.py` proposes a size, `scaling_rules.py` limits it, and
`autoscalers.py` writes scale and status.
"""
