"""The ModelAdapter CRD, schemas and CEL: defaults, pruning, errors and their messages."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.apiserver import ApiError, FieldError, Store
from twin.apiserver.schema.cel import Rule, compile_expression
from twin.apiserver.schema.structural import compile_schema
from twin.apiserver.schema.value_validations import ROOT

ADAPTERS = "modeladapters.model.aibrix.ai"
CRDS = "customresourcedefinitions.apiextensions.k8s.io"


def refusal(store: Store, body: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as refused:
        store.create(ADAPTERS, body)
    assert refused.value.code == 422
    return refused.value.message


@pytest.mark.parametrize(
    "url",
    ["hf://a/b", "huggingface://a/b", "s3://b/k", "gs://b", "gcs://b", "tos://b", "http://h/x", "https://h", "/m/a"],
)
def test_an_artifact_url_is_accepted(store: Store, an_adapter: Any, url: str) -> None:
    store.create(ADAPTERS, an_adapter(artifactURL=url))


@pytest.mark.parametrize("url", ["", "acme/sql", "ftp://h/x", "hf:/a", "hf://", "./adapter", "/", "HF://a/b"])
def test_an_invalid_artifact_url_is_refused_with_the_allowed_ones(store: Store, an_adapter: Any, url: str) -> None:
    assert "use huggingface://ORG/MODEL" in refusal(store, an_adapter(artifactURL=url))


@pytest.mark.parametrize("name", ["7b-lora", "a-7b", "7", "a" * 63])
def test_a_name_that_a_service_can_have_is_accepted(store: Store, an_adapter: Any, name: str) -> None:
    store.create(ADAPTERS, an_adapter(name))
    store.create("services", {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})


@pytest.mark.parametrize("name", ["a.b", "a" * 64])
def test_a_name_that_no_service_can_have_is_refused(store: Store, an_adapter: Any, name: str) -> None:
    message = refusal(store, an_adapter(name))
    assert f"metadata.name: Invalid value: \"{name}\": the adapter's name becomes a Service's name" in message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"replicas": -1},
            "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0",
        ),
        (
            {"replicas": "two"},
            'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ),
        ({"podSelector": {}}, "an empty selector would match every pod of the namespace"),
        ({"podSelector": {"matchLabels": {}}}, "an empty selector would match every pod of the namespace"),
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            'spec.podSelector.matchExpressions[0].operator: Unsupported value: "Near": supported values: "In", "NotIn"',
        ),
        ({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, "In and NotIn need values"),
        ({"apiKeySecretRef": {"name": "s"}}, "spec.apiKeySecretRef.key: Required value"),
        ({"credentialsSecretRef": {}}, "spec.credentialsSecretRef.name: Required value"),
        ({"additionalConfig": {"rank": 16}}, 'spec.additionalConfig.rank in body must be of type string: "integer"'),
        (
            {"autoscaling": {"min": 4, "max": 2, "target": {"concurrency": 8}}},
            "spec.autoscaling.min: Invalid value: 4: min is above max: lower min, or raise max",
        ),
        (
            {"autoscaling": {"max": 2, "target": {}}},
            'spec.autoscaling.target: Invalid value: "object": target names no metric: give concurrency, the number of',
        ),
        ({"autoscaling": {"max": 2}}, "spec.autoscaling.target: Required value"),
        ({"autoscaling": {"target": {"concurrency": 8}}}, "spec.autoscaling.max: Required value"),
        (
            {"autoscaling": {"min": 0, "max": 2, "target": {"concurrency": 8}}},
            "spec.autoscaling.min: Invalid value: 0: min is below 1: give at least 1; to unload the adapter when",
        ),
        ({"activation": {"mode": "Sometimes"}}, 'spec.activation.mode: Unsupported value: "Sometimes"'),
        (
            {"activation": {"mode": "OnDemand", "idleSeconds": 5}},
            "spec.activation.idleSeconds: Invalid value: 5: idleSeconds is below 60: use is measured by metrics that",
        ),
        (
            {"activation": {"idleSeconds": 600}},
            "spec.activation.idleSeconds: Invalid value: 600: idleSeconds needs mode OnDemand: set it, or remove",
        ),
        ({"activation": {"mode": "OnDemand", "idleSeconds": 1000000}}, "should be less than or equal to 604800"),
        ({"autoscaling": {"max": 2, "target": {"concurrency": 0}}}, "should be greater than or equal to 0.1"),
        ({"schedulerName": "x" * 254}, "spec.schedulerName: Too long: may not be more than 253 bytes"),
    ],
)
def test_a_spec_is_refused(store: Store, an_adapter: Any, spec: dict[str, Any], message: str) -> None:
    assert message in refusal(store, an_adapter(**spec))


def test_autoscaling_has_defaults(store: Store, an_adapter: Any) -> None:
    stored = store.create(ADAPTERS, an_adapter(autoscaling={"max": 4, "target": {"concurrency": 8}}))
    assert stored["spec"]["autoscaling"] == {
        "min": 1,
        "max": 4,
        "target": {"concurrency": 8},
        "scaleUp": {"stabilizationWindowSeconds": 30},
        "scaleDown": {"stabilizationWindowSeconds": 300},
        "cooldownSeconds": 30,
        "priority": 0,
    }


def test_all_errors_are_reported_together_with_causes(store: Store) -> None:
    with pytest.raises(ApiError) as refused:
        store.create(ADAPTERS, {"metadata": {"name": "x"}, "spec": {"replicas": -1}})
    status = refused.value.status
    assert status["message"].startswith('ModelAdapter.model.aibrix.ai "x" is invalid: [spec.replicas: ')
    assert [cause["field"] for cause in status["details"]["causes"]] == [
        "spec.replicas",
        "spec.podSelector",
        "spec.artifactURL",
    ]


def test_a_single_error_has_no_brackets(store: Store) -> None:
    body = {"metadata": {"name": "x"}, "spec": {"podSelector": {"matchLabels": {"a": "b"}}}}
    assert refusal(store, body) == 'ModelAdapter.model.aibrix.ai "x" is invalid: spec.artifactURL: Required value'


def test_unknown_fields_are_dropped(store: Store, an_adapter: Any) -> None:
    assert "colour" not in store.create(ADAPTERS, an_adapter(colour="red"))["spec"]


def test_a_condition_without_message_gets_an_empty_one(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter())
    condition = {"type": "Ready", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    stored = store.patch(ADAPTERS, "default", "sql", {"status": {"conditions": [condition]}}, subresource="status")
    assert stored["status"]["conditions"] == [{**condition, "message": ""}]
    twice = {"status": {"conditions": [condition, condition]}}
    with pytest.raises(ApiError, match=r'Duplicate value: {"type":"Ready"}'):
        store.patch(ADAPTERS, "default", "sql", twice, subresource="status")


def test_a_registered_definition_can_be_read_and_registered_again(store: Store, crd: Any, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter())
    store.register_crd(crd)
    definition_object = store.get(CRDS, "", ADAPTERS)
    assert {condition["type"] for condition in definition_object["status"]["conditions"]} == {
        "Established",
        "NamesAccepted",
    }
    assert len(store.list(ADAPTERS).items) == 1


def definition(schema: dict[str, Any], **spec: Any) -> dict[str, Any]:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "kind": "Widget"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version], **spec}
    return {"metadata": {"name": "widgets.example.com"}, "spec": spec}


def property_of(**schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (definition({}), "must be object at the root"),
        (definition(property_of(description="no type")), "x].type: Required value"),
        (definition(property_of(type="text")), 'x].type: Unsupported value: "text"'),
        (definition(property_of(type="array")), "x].items: Required value"),
        (definition(property_of(type="string", wonder=1)), "unsupported schema keyword 'wonder'"),
        (definition(property_of(type="string", pattern="(")), "x].pattern: Invalid value"),
        (
            definition(property_of(type="string", **{"x-kubernetes-validations": [{"rule": "self.foo("}]})),
            "Failed to parse expression 'self.foo(': ERROR: <input>:1:10: Syntax error",
        ),
        (definition({"type": "object"}, group="other.com"), "must be spec.names.plural"),
        (definition({"type": "object"}, versions=[]), "spec.versions: Required value"),
    ],
)
def test_an_invalid_definition_is_refused(store: Store, body: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as refused:
        store.register_crd(body)
    assert message in refused.value.message
    assert "widgets.example.com" not in store.kinds


def checked(schema: dict[str, Any], value: Any) -> tuple[Any, list[str]]:
    errors: list[FieldError] = []
    result = compile_schema(property_of(**schema))({"x": value}, None, ROOT, errors)
    return result.get("x"), [str(error) for error in errors]


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"type": "integer", "maximum": 5}, 6, "x in body should be less than or equal to 5"),
        ({"type": "integer", "minimum": 5, "exclusiveMinimum": True}, 5, "should be greater than 5"),
        ({"type": "number", "multipleOf": 2}, 3, "should be a multiple of 2"),
        ({"type": "integer", "format": "int32"}, 2**31, "must be of type int32"),
        ({"type": "integer"}, True, 'must be of type integer: "boolean"'),
        ({"type": "string", "minLength": 1}, "", "x in body should be at least 1 chars long"),
        ({"type": "string", "pattern": "^a$"}, "b", "x in body should match '^a$'"),
        ({"type": "string", "format": "date-time"}, "now", 'must be of type date-time: "now"'),
        ({"type": "string"}, None, 'must be of type string: "null"'),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, [], "should have at least 1 items"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 1}, ["a", "b"], "Too many: 2: must have at most 1"),
        ({"type": "object", "maxProperties": 0, "additionalProperties": {"type": "string"}}, {"a": "b"}, "Too many: 1"),
        ({"x-kubernetes-int-or-string": True}, [], 'must be of type integer or string: "array"'),
        ({"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {}, "at least one schema (anyOf)"),
        ({"type": "integer", "oneOf": [{"minimum": 1}, {"minimum": 2}]}, 3, "Found 2 valid alternatives"),
        ({"type": "integer", "not": {"minimum": 1}}, 3, "must not validate the schema (not)"),
        ({"type": "integer", "allOf": [{"minimum": 1}]}, 0, "should be greater than or equal to 1"),
        (
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            ["a", "a"],
            "Duplicate value",
        ),
    ],
)
def test_a_value_breaks_its_schema(schema: dict[str, Any], value: Any, message: str) -> None:
    _, errors = checked(schema, value)
    assert any(message in error for error in errors)


@pytest.mark.parametrize(
    ("schema", "value", "kept"),
    [
        ({"type": "string", "nullable": True}, None, None),
        ({"type": "string", "default": "d"}, None, "d"),
        ({"x-kubernetes-int-or-string": True}, "25%", "25%"),
        ({"type": "integer"}, 2.0, 2),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"any": 1}, {"any": 1}),
        ({"type": "object"}, {"any": 1}, {}),
        (
            {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer", "default": 1}}}},
            [{}, {"a": 2, "b": 3}],
            [{"a": 1}, {"a": 2}],
        ),
    ],
)
def test_a_value_is_pruned_and_filled(schema: dict[str, Any], value: Any, kept: Any) -> None:
    assert checked(schema, value) == (kept, [])


def test_unchanged_invalid_fields_are_not_validated_again() -> None:
    check = compile_schema(property_of(type="array", items={"type": "string"}))
    old = {"x": [1]}
    errors: list[FieldError] = []
    assert check({**old, "y": 1}, old, ROOT, errors) == old
    assert errors == []


SELF = {"name": "sql-7", "tags": ["a", "b"], "n": 3, "map": {"k": "v"}, "flag": True}


@pytest.mark.parametrize(
    ("rule", "result"),
    [
        ("self.name.startsWith('sql')", True),
        ("self.name.endsWith('8')", False),
        ('self.name.matches(r"^[a-z]+-\\d$")', True),
        ("self.name.contains('l-')", True),
        ("size(self.tags) == 2 && self.tags.size() == 2", True),
        ("has(self.name) && !has(self.other)", True),
        ("has(self.map.k)", True),
        ("'a' in self.tags && !('z' in self.tags)", True),
        ("self.n in [1, 2, 3]", True),
        ("self.n > 2 ? self.n < 3 : true", False),
        ("self.n >= 3 && self.n <= 3 && self.n != 4", True),
        ("self.n + 1 == 4 && self.n - 1 == 2 && -self.n < 0", True),
        ("self.tags.all(t, t.size() == 1) && self.tags.exists(t, t == 'b')", True),
        ("self.map['k'] == \"v\"", True),
        ("self.missing == 1 || self.flag", True),
        ("self.flag == true && self.map != null", True),
    ],
)
def test_an_expression_is_evaluated(rule: str, result: bool) -> None:
    assert compile_expression(rule).execute({"self": SELF}) is result


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("self.name.upper()", "undeclared reference to function 'upper'"),
        ("now() > 1", "undeclared reference to function 'now'"),
        ("other == 1", "undeclared reference to 'other'"),
        ("self.name ==", "Syntax error: mismatched input '<EOF>'"),
        ("self.n # 1", "Syntax error: token recognition error at: '#'"),
        ("has(self)", "invalid argument to has"),
        ("self.tags.all(t, u > 1)", "undeclared reference to 'u'"),
    ],
)
def test_an_unsupported_expression_is_refused(rule: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        compile_expression(rule)


def test_a_transition_rule_applies_only_if_there_was_a_value(store: Store) -> None:
    rule = {"rule": "self == oldSelf", "message": "x is immutable", "reason": "FieldValueForbidden"}
    schema = property_of(type="string", **{"x-kubernetes-validations": [rule]})
    store.register_crd(definition(schema))
    store.create("widgets.example.com", {"metadata": {"name": "w"}, "x": "a"})
    with pytest.raises(ApiError, match="x: Forbidden: x is immutable"):
        store.patch("widgets.example.com", "default", "w", {"x": "b"})


def test_a_rule_with_an_optional_old_value_may_bind_creations_only(store: Store) -> None:
    free = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    rule = {
        "rule": "oldSelf.hasValue() || self.metadata.name.size() <= 3",
        "optionalOldSelf": True,
        "message": "too long",
    }
    store.register_crd(definition(free))
    store.create("widgets.example.com", {"metadata": {"name": "long", "finalizers": ["example.com/f"]}})
    store.register_crd(definition({**free, "x-kubernetes-validations": [rule]}))
    with pytest.raises(ApiError, match="too long"):
        store.create("widgets.example.com", {"metadata": {"name": "other"}})
    store.create("widgets.example.com", {"metadata": {"name": "abc"}})
    store.patch("widgets.example.com", "default", "long", {"spec": {"x": 1}})
    store.delete("widgets.example.com", "default", "long")
    store.patch("widgets.example.com", "default", "long", {"metadata": {"finalizers": None}})
    assert [item["metadata"]["name"] for item in store.list("widgets.example.com").items] == ["abc"]


def test_a_rule_on_the_whole_object_binds_objects_that_were_stored_before_it(store: Store) -> None:
    free = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    rule = {"rule": "self.metadata.name.size() <= 3", "message": "too long"}
    store.register_crd(definition(free))
    store.create("widgets.example.com", {"metadata": {"name": "long"}})
    store.register_crd(definition({**free, "x-kubernetes-validations": [rule]}))
    with pytest.raises(ApiError, match="too long"):
        store.patch("widgets.example.com", "default", "long", {"spec": {"x": 1}})


def test_a_rule_that_cannot_be_evaluated_is_an_error_of_the_value(store: Store) -> None:
    schema = property_of(type="object", **{"x-kubernetes-validations": [{"rule": "self.a == 1"}]})
    store.register_crd(definition(schema))
    with pytest.raises(ApiError, match="rule evaluation error: no such key: a"):
        store.create("widgets.example.com", {"metadata": {"name": "w"}, "x": {}})


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 3))), max_size=8))
def test_a_result_that_is_kept_is_that_of_the_rule(pairs: list[tuple[int, int | None]]) -> None:
    rule = Rule.compile({"rule": "self.size >= oldSelf.size", "message": "must not shrink"}, "spec")
    for size, before in pairs:
        old = None if before is None else {"size": before}
        expected = None if before is None or size >= before else "must not shrink"
        assert rule.violation({"size": size}, old) == expected
        if old is not None:
            assert rule.evaluate({"size": size}, old) == expected
