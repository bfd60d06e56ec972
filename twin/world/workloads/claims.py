"""Objects that a controller adopts and those that it releases; `pkg/controller/controller_ref_manager.go`."""

from collections.abc import Iterable, Iterator

from twin.apiserver.meta.objects import Object, is_finished, is_terminating
from twin.apiserver.meta.selectors import label_selector


def claim_patches(
    owner: Object, reference: Object, free: Iterable[Object], owned: Iterable[Object]
) -> Iterator[tuple[Object, Object]]:
    """Yield objects and the patches that make them, or no longer make them, the owner's.

    Args:
        owner: has the selector.
        reference: the owner reference of an adopted object.
        free: objects without a controller, in any namespace.
        owned: objects that the owner controls.
    """
    matches, namespace = label_selector(owner["spec"]["selector"]), owner["metadata"]["namespace"]
    for item in free:
        meta = item["metadata"]
        if meta["namespace"] != namespace or is_terminating(item) or is_finished(item):
            continue
        if matches(meta.get("labels") or {}):
            yield item, {"metadata": {"ownerReferences": [*(meta.get("ownerReferences") or ()), reference]}}
    for item in owned:
        meta = item["metadata"]
        if not is_terminating(item) and not matches(meta.get("labels") or {}):
            kept = [each for each in meta["ownerReferences"] if each["uid"] != owner["metadata"]["uid"]]
            yield item, {"metadata": {"ownerReferences": kept or None}}
