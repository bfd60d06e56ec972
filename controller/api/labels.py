"""Labels by which the operator finds pods and marks the objects that it creates."""

from controller.api.types import GROUP

DOMAIN = "adapter.model.aibrix.ai"
"""Prefix of the labels and annotations on and around a ModelAdapter; AIBrix's."""

ENABLED_LABEL = f"{DOMAIN}/enabled"
"""`true` on pods on which adapters may be loaded."""
ENGINE_LABEL = f"{GROUP}/engine"
"""Kind of engine in a pod, a key of `engine.flavors.FLAVORS`; vLLM if absent."""
PORT_LABEL = f"{GROUP}/port"
"""Port of a pod's engine."""
MEMORY_LABEL = f"{DOMAIN}/memory"
"""Memory of a pod that adapters may take together (`8Gi`); policy `bin-pack` keeps to it."""

NAME_LABEL = f"{DOMAIN}/name"
"""Adapter that a Service or EndpointSlice belongs to."""
MODEL_LABEL = f"{GROUP}/name"
"""The same, under the name that AIBrix's gateway reads."""
ACTIVATOR_LABEL = f"{DOMAIN}/activator"
"""On the EndpointSlice that publishes the operator's activator, and no pod."""
BASE_MODEL = f"{GROUP}/base-model"
"""Annotation on the Service: base model of the adapter."""
SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "lora-controller"
"""Value of `MANAGED_BY` on the slices that the operator writes."""
