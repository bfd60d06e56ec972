"""Kinds with which users register admission webhooks and policies: defaults and validation.

Sources: `pkg/apis/admissionregistration/v1/defaults.go` and `pkg/apis/admissionregistration/validation`.
"""

from urllib.parse import urlsplit

from twin.apiserver.meta.errors import FieldError, Object, invalid, required, unsupported
from twin.apiserver.schema.cel import compile_policy
from twin.apiserver.schema.resource_types import ResourceType

_GROUP = "admissionregistration.k8s.io"
_DEFAULTS: Object = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "timeoutSeconds": 10,
}
_LONGEST_TIMEOUT = 30  # seconds
_SCHEME = "'https' is the only allowed URL scheme"
_ACTIONS = ("Audit", "Deny", "Warn")


def admission_kinds() -> list[ResourceType]:
    """Return the kinds of the group."""
    return [
        ResourceType(plural, kind, group=_GROUP, namespaced=False, generation=True, admit=admit)
        for plural, kind, admit in (
            ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", _admit_mutating),
            ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration", _admit_validating),
            ("validatingadmissionpolicies", "ValidatingAdmissionPolicy", _admit_policy),
            ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", _admit_binding),
        )
    ]


def _admit_mutating(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    return _with_webhooks(new, {**_DEFAULTS, "reinvocationPolicy": "Never"}, errors)


def _admit_validating(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    return _with_webhooks(new, _DEFAULTS, errors)


def _with_webhooks(new: Object, defaults: Object, errors: list[FieldError]) -> Object:
    hooks = [
        _webhook(hook, defaults, f"webhooks[{index}]", errors) for index, hook in enumerate(new.get("webhooks") or ())
    ]
    return {**new, "webhooks": hooks}


def _webhook(hook: Object, defaults: Object, field: str, errors: list[FieldError]) -> Object:
    filled = {**defaults, **{key: value for key, value in hook.items() if value is not None}}
    if str(filled.get("name") or "").count(".") < 2:
        detail = "should be a domain with at least three segments separated by dots"
        errors.append(invalid(f"{field}.name", filled.get("name") or "", detail))
    if not 1 <= filled["timeoutSeconds"] <= _LONGEST_TIMEOUT:
        detail = "the timeout value must be between 1 and 30 seconds"
        errors.append(invalid(f"{field}.timeoutSeconds", filled["timeoutSeconds"], detail))
    if filled.get("sideEffects") not in ("None", "NoneOnDryRun"):
        errors.append(_missing_side_effects(filled.get("sideEffects"), f"{field}.sideEffects"))
    if not filled.get("admissionReviewVersions"):
        errors.append(required(f"{field}.admissionReviewVersions", "must specify one of v1, v1beta1"))
    _check_client(filled.get("clientConfig") or {}, f"{field}.clientConfig", errors)
    rules = [{"scope": "*", **rule} for rule in filled.get("rules") or ()]
    return {**filled, "rules": rules}


def _missing_side_effects(value: object, field: str) -> FieldError:
    allowed = ("None", "NoneOnDryRun")
    return unsupported(field, value, allowed) if value else required(field, "must specify one of None, NoneOnDryRun")


def _check_client(config: Object, field: str, errors: list[FieldError]) -> None:
    if bool(config.get("url")) == bool(config.get("service")):
        errors.append(required(field, "exactly one of url or service is required"))
    elif config.get("url") and urlsplit(config["url"]).scheme != "https":
        scheme = urlsplit(config["url"]).scheme
        errors.append(invalid(f"{field}.url", scheme, f"{_SCHEME}; desired format: https://host[/path]"))


def _admit_policy(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    spec: Object = {"failurePolicy": "Fail", **(new.get("spec") or {})}
    if not (spec.get("matchConstraints") or {}).get("resourceRules"):
        errors.append(required("spec.matchConstraints.resourceRules"))
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        errors.append(required("spec.validations", "validations or auditAnnotations must contain at least one item"))
    for field in ("paramKind", "variables", "matchConditions"):
        if spec.get(field):
            errors.append(invalid(f"spec.{field}", "", "is not supported by the twin"))
    for index, validation in enumerate(spec.get("validations") or ()):
        for name in ("expression", "messageExpression"):
            _check_expression(validation.get(name), f"spec.validations[{index}].{name}", errors)
    return {**new, "spec": spec}


def _check_expression(text: object, field: str, errors: list[FieldError]) -> None:
    if text is None and field.endswith("messageExpression"):
        return
    if not isinstance(text, str) or not text.strip():
        errors.append(required(field, "expression is not specified"))
        return
    try:
        compile_policy(text)
    except ValueError as error:
        errors.append(invalid(field, text, f"compilation failed: {str(error).splitlines()[0]}"))


def _admit_binding(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    spec = new.get("spec") or {}
    if not spec.get("policyName"):
        errors.append(required("spec.policyName"))
    actions = spec.get("validationActions") or ()
    if not actions:
        errors.append(required("spec.validationActions"))
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            errors.append(unsupported(f"spec.validationActions[{index}]", action, _ACTIONS))
    if {"Deny", "Warn"} <= set(actions):
        detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API "
        errors.append(
            invalid("spec.validationActions", list(actions), f"{detail}response and headers serves no purpose)")
        )
    return {**new, "spec": spec}
