"""What client-go gives Go operators: informer, workqueue, leader election, event recorder.

Nothing here depends on what the operator does.
"""
