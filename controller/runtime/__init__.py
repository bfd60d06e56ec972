"""Counterparts of client-go: informer, workqueue, leader election, event recorder.

Nothing here depends on what the operator does.
"""
