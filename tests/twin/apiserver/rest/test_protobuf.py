"""Bodies in Protobuf as client-go sends built-in kinds; encoded by k8s.io/apimachinery 0.36.3."""

from base64 import b64decode
from typing import Any

import pytest

from twin.apiserver.codec.protobuf import decode

AUTOSCALER = (
    "azhzAAopCg5hdXRvc2NhbGluZy92MhIXSG9yaXpvbnRhbFBvZEF1dG9zY2FsZXISbwoTCgNsbG0SABoAIgAqADIAOABCABJSChoKCkRlcGxveW1l"
    "bnQSA2xsbRoHYXBwcy92MRACGAYiKgoEUG9kcxoiCgcKBXF1ZXVlEhcKDEF2ZXJhZ2VWYWx1ZRoHCgUyNTAwbSoEEgIYPBoEGAAgABoAIgA="
)
WEBHOOKS = (
    "azhzAApBCh9hZG1pc3Npb25yZWdpc3RyYXRpb24uazhzLmlvL3YxEh5WYWxpZGF0aW5nV2ViaG9va0NvbmZpZ3VyYXRpb24ScAoVCgVndWFyZBIA"
    "GgAiACoAMgA4AEIAElcKDXBvZHMuZ3VhcmQuaW8SHAoWCgJucxIFZ3VhcmQaCS92YWxpZGF0ZRICY2EaFgoGQ1JFQVRFEgwKABICdjEaBHBvZHMi"
    "Bklnbm9yZTIETm9uZUICdjEaACIA"
)
SPEC: dict[str, Any] = {
    "scaleTargetRef": {"kind": "Deployment", "name": "llm", "apiVersion": "apps/v1"},
    "minReplicas": 2,
    "maxReplicas": 6,
    "metrics": [
        {
            "type": "Pods",
            "pods": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "2500m"}},
        }
    ],
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
}
WEBHOOK: dict[str, Any] = {
    "name": "pods.guard.io",
    "clientConfig": {"service": {"namespace": "ns", "name": "guard", "path": "/validate"}, "caBundle": "Y2E="},
    "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
    "failurePolicy": "Ignore",
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}


@pytest.mark.parametrize(
    ("body", "kind", "field", "value"),
    [
        (AUTOSCALER, "HorizontalPodAutoscaler", "spec", SPEC),
        (WEBHOOKS, "ValidatingWebhookConfiguration", "webhooks", [WEBHOOK]),
    ],
)
def test_kinds_of_other_groups_are_read_as_their_json(body: str, kind: str, field: str, value: Any) -> None:
    decoded = decode(b64decode(body))
    assert (decoded["kind"], decoded[field]) == (kind, value)
