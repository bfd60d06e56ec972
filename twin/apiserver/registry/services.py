"""Rules of Services: cluster address, ports, defaults."""

from twin.apiserver.meta.errors import FieldError, Object, forbidden_field, invalid, required

_FIRST_ADDRESS = (10 << 24) + (96 << 16) + 10  # 10.96.0.10; kubeadm's default service range is 10.96.0.0/12
_MAX_PORT = 65535
_ADDRESS_DEFAULTS: Object = {
    "ipFamilies": ["IPv4"],
    "ipFamilyPolicy": "SingleStack",
    "internalTrafficPolicy": "Cluster",
}


class ServiceRules:
    """Rules of Services, and the allocator of cluster addresses."""

    def __init__(self) -> None:
        self._next = _FIRST_ADDRESS

    def admit(self, new: Object, old: Object | None, errors: list[FieldError]) -> Object:
        """Validate a Service and set its defaults; see `Admit` in `schema/resource_types.py`."""
        spec = new.get("spec") or {}
        if old is not None and spec is old.get("spec"):
            return new
        self._check(spec, old, errors)
        ports = [_with_port_defaults(port) for port in spec.get("ports") or ()]
        spec = {"type": "ClusterIP", "sessionAffinity": "None", **spec, **({"ports": ports} if ports else {})}
        if spec["type"] != "ExternalName":
            address = spec.get("clusterIP") or (old or {}).get("spec", {}).get("clusterIP")
            if not address:
                address = "" if errors else self._allocate()
            spec = {**_ADDRESS_DEFAULTS, **spec, "clusterIP": address, "clusterIPs": [address]}
        return {**new, "spec": spec, **({} if "status" in new else {"status": {"loadBalancer": {}}})}

    def _allocate(self) -> str:
        self._next += 1
        return ".".join(str(self._next >> shift & 255) for shift in (24, 16, 8, 0))

    def _check(self, spec: Object, old: Object | None, errors: list[FieldError]) -> None:
        ports = spec.get("ports") or []
        if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
            errors.append(required("spec.ports"))
        for index, port in enumerate(ports):
            number = port.get("port")
            if type(number) is not int or not 1 <= number <= _MAX_PORT:
                detail = f"must be between 1 and {_MAX_PORT}, inclusive"
                errors.append(invalid(f"spec.ports[{index}].port", number, detail))
            if len(ports) > 1 and not port.get("name"):
                errors.append(required(f"spec.ports[{index}].name"))
        before = ((old or {}).get("spec") or {}).get("clusterIP")
        if before and spec.get("clusterIP", before) != before:
            errors.append(forbidden_field("spec.clusterIP", "field is immutable"))


def _with_port_defaults(port: Object) -> Object:
    return {"protocol": "TCP", "targetPort": port.get("port"), **port}
