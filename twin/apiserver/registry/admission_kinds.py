"""Kinds with which users register admission webhooks and policies: defaults and validation.

Sources: `pkg/apis/admissionregistration/v1/defaults.go` and `pkg/apis/admissionregistration/validation`.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from twin.apiserver.meta.errors import FieldError, Object, invalid, required, unsupported
from twin.apiserver.schema.builtin_types import PLAIN, WEBHOOKS
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
_FORM = "; desired format: https://host[/path]"
_LAST_PORT = 65535
_FAILURE_POLICIES = ("Fail", "Ignore")
_ACTIONS = ("Audit", "Deny", "Warn")


def admission_kinds() -> list[ResourceType]:
    """Return the kinds of the group."""
    return [
        ResourceType(plural, kind, group=_GROUP, namespaced=False, generation=True, admit=admit, types=types)
        for plural, kind, admit, types in (
            ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", _admit_mutating, WEBHOOKS),
            ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration", _admit_validating, WEBHOOKS),
            ("validatingadmissionpolicies", "ValidatingAdmissionPolicy", _admit_policy, PLAIN),
            ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", _admit_binding, PLAIN),
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
    if filled["failurePolicy"] not in _FAILURE_POLICIES:
        errors.append(unsupported(f"{field}.failurePolicy", filled["failurePolicy"], _FAILURE_POLICIES))
    _check_rules(filled.get("rules") or (), f"{field}.rules", errors)
    _check_client(filled.get("clientConfig") or {}, f"{field}.clientConfig", errors)
    rules = [{"scope": "*", **rule} for rule in filled.get("rules") or ()]
    return {**filled, "rules": rules}


def _missing_side_effects(value: object, field: str) -> FieldError:
    allowed = ("None", "NoneOnDryRun")
    return unsupported(field, value, allowed) if value else required(field, "must specify one of None, NoneOnDryRun")


def _check_client(config: Object, field: str, errors: list[FieldError]) -> None:
    if bool(config.get("url")) == bool(config.get("service")):
        errors.append(required(field, "exactly one of url or service is required"))
    elif config.get("url"):
        _check_url(config["url"], f"{field}.url", errors)
    else:
        _check_service(config["service"], f"{field}.service", errors)


def _check_url(text: str, field: str, errors: list[FieldError]) -> None:
    try:
        url = urlsplit(text)
    except ValueError as error:
        errors.append(required(field, f"url must be a valid URL: {error}{_FORM}"))
        return
    user, at, host = url.netloc.rpartition("@")
    if url.scheme != "https":
        errors.append(invalid(field, url.scheme, f"{_SCHEME}{_FORM}"))
    if not host:
        errors.append(invalid(field, "", f"host must be specified{_FORM}"))
    if at:
        errors.append(invalid(field, user, "user information is not permitted in the URL"))
    if url.fragment:
        errors.append(invalid(field, url.fragment, "fragments are not permitted in the URL"))
    if url.query:
        errors.append(invalid(field, url.query, "query parameters are not permitted in the URL"))


def _check_service(service: Object, field: str, errors: list[FieldError]) -> None:
    errors += [required(f"{field}.{name}") for name in ("name", "namespace") if not service.get(name)]
    port, path = service.get("port"), service.get("path")
    if port is not None and not 1 <= port <= _LAST_PORT:
        detail = f"port is not valid: must be between 1 and {_LAST_PORT}, inclusive"
        errors.append(invalid(f"{field}.port", port, detail))
    if not path or path == "/":
        return
    if not path.startswith("/"):
        errors.append(invalid(f"{field}.path", path, "must start with a '/'"))
    for index, step in enumerate(path.removesuffix("/").split("/")[1:] if path.startswith("/") else [""]):
        if not step:
            errors.append(invalid(f"{field}.path", path, f"segment[{index}] may not be empty"))


def _check_rules(rules: Sequence[Object], field: str, errors: list[FieldError]) -> None:
    for index, rule in enumerate(rules):
        names = ("operations", "apiGroups", "apiVersions", "resources")
        errors += [required(f"{field}[{index}].{name}") for name in names if not rule.get(name)]


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
