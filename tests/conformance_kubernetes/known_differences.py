"""Differences between the twin and a real control plane that are accepted, each with its reason."""

from tests.conformance_kubernetes.comparison import Known

_NOT_SIMULATED = "not simulated"
_NAMESPACE_ROUNDS = "a real namespace controller looks again after a time that grows with the pods' grace"
_SLICES = "the twin has EndpointSlices of the operator only, none of Services"
_JOB_TRACKING = "the twin counts finished pods without finalizers and labels of the Job itself"

KNOWN = (
    Known("*", "Node *: annotations", "the TTL controller's annotation is read by kubelets only"),
    Known("*", "ConfigMap kube-root-ca.crt*", "the twin publishes no CA bundle in namespaces"),
    Known("quota-objects", "*", "the ConfigMap with the CA bundle, which the twin does not publish, counts"),
    Known("namespace-graceful-pods", "*", _NAMESPACE_ROUNDS),
    Known("service-*", "EndpointSlice *", _SLICES),
    Known("service-dual-stack", "Service *", "the twin's Services have one family of addresses"),
    Known("job-*", "Job *: labels", _JOB_TRACKING),
    Known("job-*", "Pod *: finalizers", _JOB_TRACKING),
    Known("job-*", "Job *: spec.suspend", "the twin does not write out the default of `suspend`"),
    Known("job-indexed", "Job *: status.completedIndexes", _NOT_SIMULATED),
    Known("job-deadline", "*", "in the twin a Job has failed at once, a real one when its pods are gone"),
    Known("delete-finalizers", "refusals: causes", "a real server lists this cause twice"),
    Known("node-*", "Pod *: conditions.PodScheduled", "the message has no part about claims and preemption"),
)
