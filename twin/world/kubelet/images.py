"""Pulling images: those that no registry has, registries that do not answer, and the kubelet's back-off.

A container whose image cannot be pulled waits with `ErrImagePull`, then with `ImagePullBackOff` until the next attempt:
after 10 s, doubling up to 5 minutes. Sources: `pkg/kubelet/images/image_manager.go` and `pkg/kubelet/pod_workers.go`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from fake_vllm.distributions import Latency, Uniform
from twin.world.context import WorldContext
from twin.world.kubelet.crash_loop_backoff import CAP, INITIAL

SYNC = Uniform(10.0, 15.0)  # seconds until a pod with an error is looked at again; backOffPeriod 10 s, jitter 0.5
_HUB = "docker.io"


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Registries, and the images on the nodes.

    Attributes:
        pull: seconds to pull an image that is not on the node; None if every image is on every node.
        missing: images without tag that no registry has.
        unreachable: start and end, in seconds, of the time in which a registry cannot be reached, by host.
    """

    pull: Latency | None = None
    missing: Collection[str] = ()
    unreachable: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))


class Waiting(NamedTuple):
    """State of a container without its image, and the seconds until the kubelet looks at it again."""

    reason: str
    message: str
    seconds: float


class Images:
    """The images on all nodes."""

    def __init__(self, context: WorldContext, settings: ImageSettings) -> None:
        self._context = context
        self._settings = settings
        self._on_nodes: set[tuple[str, str]] = set()
        self._outages: dict[int, Collection[str]] = {}

    def attempts(self, pod: str, node: str, container: Mapping[str, str]) -> "ImagePull | None":
        """Return the pulls of a container's image; None if they always succeed at once."""
        image, settings = container.get("image", ""), self._settings
        always = container.get("imagePullPolicy") == "Always"
        is_missing = _repository(image) in settings.missing
        may_wait = settings.pull is not None or always
        return ImagePull(self, pod, node, image, always=always) if may_wait or is_missing else None

    def fail(self, number: int, registries: Collection[str]) -> Callable[[], None]:
        """Let registries fail, all if there are none in the list; the result ends it. `number` is that of the fault."""
        self._outages[number] = registries

        def end() -> None:
            self._outages.pop(number, None)

        return end

    def needs_registry(self, image: str) -> bool:
        """Return True if a registry may refuse an image that is on its node."""
        return bool(self._outages) or registry_of(image) in self._settings.unreachable

    def is_on(self, node: str, image: str) -> bool:
        """Return True if a node has an image."""
        if _repository(image) in self._settings.missing:
            return False
        return self._settings.pull is None or (node, image) in self._on_nodes

    def put(self, node: str, image: str) -> None:
        """Keep an image that has been pulled on a node."""
        self._on_nodes.add((node, image))

    def error(self, image: str) -> str:
        """Return the error of a pull that begins now; empty if it succeeds."""
        if message := missing_image(image, self._settings.missing):
            return message
        host = registry_of(image)
        start, end = self._settings.unreachable.get(host, (0.0, 0.0))
        fails = start <= self.now < end or any(not hosts or host in hosts for hosts in self._outages.values())
        return unreachable_registry(image) if fails else ""

    @property
    def now(self) -> float:
        """Return the simulated time, in seconds."""
        return float(self._context.env.now)

    def draw(self, latency: Latency, pod: str) -> float:
        """Return a time from the random numbers of a pod's pulls."""
        return latency.draw(self._context.streams.get(f"pod/{pod}/images"))

    @property
    def pull_time(self) -> Latency | None:
        """Return the time that a pull takes."""
        return self._settings.pull


class ImagePull:
    """The attempts to pull the image of one container."""

    def __init__(self, images: Images, pod: str, node: str, image: str, *, always: bool) -> None:
        self._images = images
        self._pod = pod
        self._node = node
        self._image = image
        self._always = always
        self._pulled_at: float | None = None
        """End of the pull under way."""
        self._error = ""
        self._failed_at = 0.0
        self._wait = 0.0
        """Back-off after the last failure, in seconds; 0 without one."""

    def next(self) -> Waiting | None:
        """Look at the image: return why the container waits for it, or None if it is there."""
        images, now = self._images, self._images.now
        if self._pulled_at is not None:
            if now < self._pulled_at:
                return Waiting("ContainerCreating", "", self._pulled_at - now)
            self._pulled_at = None
            images.put(self._node, self._image)
            return None
        is_there = images.is_on(self._node, self._image)
        if is_there and not (self._always and images.needs_registry(self._image)):
            return None
        sync = images.draw(SYNC, self._pod)
        if self._wait and now - self._failed_at < self._wait:
            message = f'Back-off pulling image "{self._image}": ErrImagePull: {self._error}'
            return Waiting("ImagePullBackOff", message, sync)
        self._error = images.error(self._image)
        if self._error:
            self._failed_at, self._wait = now, min(CAP, self._wait * 2 or INITIAL)
            return Waiting("ErrImagePull", self._error, sync)
        self._wait = 0.0
        if is_there or images.pull_time is None:
            return None
        self._pulled_at = now + images.draw(images.pull_time, self._pod)
        return self.next()


def missing_image(image: str, missing: Collection[str]) -> str:
    """Return the runtime's error for an image that no registry has; empty for another.

    The text is that of containerd, as a kubelet 1.31 reports it.
    """
    if _repository(image) not in missing:
        return ""
    reason = (
        "pull access denied, repository does not exist or may require authorization: server message: "
        "insufficient_scope: authorization failed"
    )
    return _failed_pull(image, reason)


def unreachable_registry(image: str) -> str:
    """Return the runtime's error for a registry that does not answer; the text is that of containerd."""
    host, _, path = _with_registry(image).partition("/")
    repository, _, reference = path.partition("@") if "@" in path else path.partition(":")
    host = "registry-1.docker.io" if host == _HUB else host
    url = f"https://{host}/v2/{repository}/manifests/{reference or 'latest'}"
    return _failed_pull(image, f'failed to do request: Head "{url}": dial tcp: i/o timeout')


def _failed_pull(image: str, reason: str) -> str:
    full = _with_registry(image)
    return f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": {reason}'


def registry_of(image: str) -> str:
    """Return the host of an image's registry."""
    return _with_registry(image).partition("/")[0]


def _repository(image: str) -> str:
    """Return an image without tag and digest."""
    path, slash, name = image.partition("@")[0].rpartition("/")
    return f"{path}{slash}{name.partition(':')[0]}"


def _with_registry(image: str) -> str:
    """Return an image with the registry and the folder that Docker Hub's short names leave out."""
    host, slash, _ = image.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return image
    return f"{_HUB}/{image}" if slash else f"{_HUB}/library/{image}"
