"""The `kubernetes` package's leader election on a Lease: becomes the leader and prints that."""

import os
import sys

from kubernetes import config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock


def lead() -> None:
    print("all fine", flush=True)
    os._exit(0)  # the election never ends by itself


config.load_kube_config()
lock = LeaseLock("an-election", "default", sys.argv[1])
settings = electionconfig.Config(
    lock, lease_duration=4, renew_deadline=3, retry_period=1, onstarted_leading=lead, onstopped_leading=None
)
leaderelection.LeaderElection(settings).run()
