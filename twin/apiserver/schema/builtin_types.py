"""JSON types of the fields of builtin kinds that this server and the simulated cluster read.

A real server decodes a builtin object into a struct and answers 400 if a field has the wrong type. With the same check
here, later rules need no type checks. Fields that are not listed are not checked.
"""

from typing import Any

from twin.apiserver.schema.structural import Check, compile_schema

Schema = dict[str, Any]

_STRING: Schema = {"type": "string", "nullable": True}
_INTEGER: Schema = {"type": "integer", "nullable": True}
_BOOLEAN: Schema = {"type": "boolean", "nullable": True}
_EITHER: Schema = {"x-kubernetes-int-or-string": True, "nullable": True}
_ANY: Schema = {"x-kubernetes-preserve-unknown-fields": True}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values, "nullable": True}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "nullable": True}


def _whole_list(items: Schema) -> Schema:
    """Return the schema of a list without nulls; a real server takes a null object for an empty one."""
    return _list({**items, "nullable": False})


def _object(**fields: Schema) -> Schema:
    keep: Schema = {"type": "object", "nullable": True, "x-kubernetes-preserve-unknown-fields": True}
    return {**keep, "properties": fields}


_SELECTOR = _object(
    matchLabels=_map(_STRING),
    matchExpressions=_whole_list(_object(key=_STRING, operator=_STRING, values=_list(_STRING))),
)
_PROBE = _object(
    httpGet=_object(path=_STRING, port=_EITHER, scheme=_STRING),
    exec=_object(command=_list(_STRING)),
    tcpSocket=_object(port=_EITHER),
    grpc=_object(port=_INTEGER),
    initialDelaySeconds=_INTEGER,
    periodSeconds=_INTEGER,
    timeoutSeconds=_INTEGER,
    successThreshold=_INTEGER,
    failureThreshold=_INTEGER,
    terminationGracePeriodSeconds=_INTEGER,
)
_CONTAINER = _object(
    name=_STRING,
    image=_STRING,
    imagePullPolicy=_STRING,
    command=_list(_STRING),
    args=_list(_STRING),
    env=_whole_list(_object(name=_STRING, value=_STRING, valueFrom=_object())),
    ports=_whole_list(_object(name=_STRING, containerPort=_INTEGER, protocol=_STRING)),
    resources=_object(limits=_map(_ANY), requests=_map(_ANY)),
    volumeMounts=_whole_list(_object(name=_STRING, mountPath=_STRING)),
    livenessProbe=_PROBE,
    readinessProbe=_PROBE,
    startupProbe=_PROBE,
)
_POD_SPEC = _object(
    containers=_whole_list(_CONTAINER),
    initContainers=_whole_list(_CONTAINER),
    volumes=_whole_list(_object(name=_STRING)),
    nodeName=_STRING,
    nodeSelector=_map(_STRING),
    serviceAccountName=_STRING,
    priorityClassName=_STRING,
    priority=_INTEGER,
    preemptionPolicy=_STRING,
    tolerations=_whole_list(_object()),
    terminationGracePeriodSeconds=_INTEGER,
)
_CONDITIONS = _whole_list(_object(type=_STRING, status=_STRING, reason=_STRING, message=_STRING))
_TEMPLATE = _object(metadata=_object(labels=_map(_STRING), annotations=_map(_STRING)), spec=_POD_SPEC)
_WORKLOAD = _object(
    replicas=_INTEGER, selector=_SELECTOR, template=_TEMPLATE, strategy=_object(rollingUpdate=_object())
)
_SERVICE = _object(
    type=_STRING,
    clusterIP=_STRING,
    selector=_map(_STRING),
    ports=_whole_list(_object(name=_STRING, port=_INTEGER, protocol=_STRING, targetPort=_EITHER)),
)
_ENDPOINT = _object(addresses=_list(_STRING), conditions=_object(ready=_BOOLEAN), targetRef=_object(), nodeName=_STRING)


def _types(**fields: Schema) -> Check:
    return compile_schema(_object(**fields))


POD = _types(spec=_POD_SPEC, status=_object(phase=_STRING, conditions=_CONDITIONS))
WORKLOAD = _types(spec=_WORKLOAD, status=_object(conditions=_CONDITIONS))
SERVICE = _types(spec=_SERVICE)
CONFIG_MAP = _types(data=_map(_STRING), binaryData=_map(_STRING), immutable=_BOOLEAN)
SECRET = _types(data=_map(_STRING), stringData=_map(_STRING), type=_STRING, immutable=_BOOLEAN)
NODE = _types(
    spec=_object(unschedulable=_BOOLEAN, taints=_whole_list(_object(key=_STRING, value=_STRING, effect=_STRING))),
    status=_object(conditions=_CONDITIONS, addresses=_whole_list(_object())),
)
ENDPOINT_SLICE = _types(
    addressType=_STRING, endpoints=_whole_list(_ENDPOINT), ports=_whole_list(_object(port=_INTEGER))
)
EVENT = _types(
    note=_STRING, reason=_STRING, action=_STRING, type=_STRING, reportingController=_STRING, reportingInstance=_STRING
)
LEASE = _types(spec=_object(holderIdentity=_STRING, leaseDurationSeconds=_INTEGER, leaseTransitions=_INTEGER))
BUDGET = _types(spec=_object(minAvailable=_EITHER, maxUnavailable=_EITHER, selector=_SELECTOR))
_METRIC = _object(
    name=_STRING,
    container=_STRING,
    metric=_object(name=_STRING, selector=_SELECTOR),
    describedObject=_object(apiVersion=_STRING, kind=_STRING, name=_STRING),
    target=_object(type=_STRING, averageUtilization=_INTEGER),
)
_SCALING_RULES = _object(
    stabilizationWindowSeconds=_INTEGER,
    selectPolicy=_STRING,
    policies=_whole_list(_object(type=_STRING, value=_INTEGER, periodSeconds=_INTEGER)),
)
AUTOSCALER = _types(
    spec=_object(
        scaleTargetRef=_object(apiVersion=_STRING, kind=_STRING, name=_STRING),
        minReplicas=_INTEGER,
        maxReplicas=_INTEGER,
        metrics=_whole_list(
            _object(
                type=_STRING,
                **dict.fromkeys(("object", "pods", "resource", "containerResource", "external"), _METRIC),
            )
        ),
        behavior=_object(scaleUp=_SCALING_RULES, scaleDown=_SCALING_RULES),
    ),
    status=_object(conditions=_CONDITIONS),
)
_AMOUNTS = _map(_ANY)
RESOURCE_QUOTA = _types(
    spec=_object(hard=_AMOUNTS, scopes=_list(_STRING), scopeSelector=_object()),
    status=_object(hard=_AMOUNTS, used=_AMOUNTS),
)
_LIMIT = _object(type=_STRING, min=_AMOUNTS, max=_AMOUNTS, default=_AMOUNTS, defaultRequest=_AMOUNTS)
LIMIT_RANGE = _types(spec=_object(limits=_whole_list(_LIMIT)))
PRIORITY_CLASS = _types(value=_INTEGER, globalDefault=_BOOLEAN, preemptionPolicy=_STRING)
_VERSION = _object(
    name=_STRING,
    served=_BOOLEAN,
    storage=_BOOLEAN,
    schema=_object(openAPIV3Schema=_object()),
    subresources=_object(
        status=_object(),
        scale=_object(specReplicasPath=_STRING, statusReplicasPath=_STRING, labelSelectorPath=_STRING),
    ),
    selectableFields=_whole_list(_object(jsonPath=_STRING)),
    additionalPrinterColumns=_whole_list(
        _object(name=_STRING, type=_STRING, jsonPath=_STRING, description=_STRING, format=_STRING, priority=_INTEGER)
    ),
)
DEFINITION = _types(
    spec=_object(
        group=_STRING,
        scope=_STRING,
        names=_object(
            plural=_STRING,
            singular=_STRING,
            kind=_STRING,
            listKind=_STRING,
            shortNames=_whole_list(_STRING),
            categories=_whole_list(_STRING),
        ),
        versions=_whole_list(_VERSION),
    ),
    status=_object(conditions=_CONDITIONS),
)
_WEBHOOK = _object(
    name=_STRING,
    clientConfig=_object(
        url=_STRING,
        caBundle={**_STRING, "pattern": r"^[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*$"},  # base64
        service=_object(namespace=_STRING, name=_STRING, path=_STRING, port=_INTEGER),
    ),
    rules=_whole_list(
        _object(
            operations=_list(_STRING),
            apiGroups=_list(_STRING),
            apiVersions=_list(_STRING),
            resources=_list(_STRING),
            scope=_STRING,
        )
    ),
    failurePolicy=_STRING,
    matchPolicy=_STRING,
    namespaceSelector=_SELECTOR,
    objectSelector=_SELECTOR,
    sideEffects=_STRING,
    timeoutSeconds=_INTEGER,
    admissionReviewVersions=_list(_STRING),
    reinvocationPolicy=_STRING,
)
WEBHOOKS = _types(webhooks=_whole_list(_WEBHOOK))
PLAIN = _types(spec=_object(), status=_object())
