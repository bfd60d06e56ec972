"""Reports the end of loads and unloads: as Kubernetes Events, metrics and log lines."""

from structlog.typing import FilteringBoundLogger

from controller.api.annotations import Attempt
from controller.api.types import ModelAdapter
from controller.cache.cache import Cache
from controller.cache.pod_view import PodView
from controller.cache.routing import route_name
from controller.metrics.instruments import Metrics
from controller.requests.outcomes import RequestOutcome
from controller.runtime.recorder import EventRecorder
from controller.settings import Settings


class RequestReporter:
    """An `Observer` of a `RequestTracker`."""

    def __init__(
        self, cache: Cache, events: EventRecorder, metrics: Metrics, log: FilteringBoundLogger, settings: Settings
    ) -> None:
        self._cache = cache
        self._events = events
        self._metrics = metrics
        self._log = log
        self._settings = settings

    def report(self, key: str, pod: PodView, outcome: RequestOutcome) -> None:
        """Report how a load or unload ended."""
        adapter = self._cache.adapters.get(key)
        attempt = self._cache.persisted_state(adapter).attempt(pod.name) if adapter is not None else None
        self._count(outcome)
        self._write_log(key, pod, outcome, attempt.retries + 1 if attempt is not None else outcome.failures)
        if adapter is not None:
            self._emit_event(adapter, pod, outcome, attempt)

    def _emit_event(
        self, adapter: ModelAdapter, pod: PodView, outcome: RequestOutcome, attempt: Attempt | None
    ) -> None:
        error, emit = outcome.error, self._events.event
        exhausted = attempt is not None and self._settings.backoff.exhausted(attempt.retries + 1)
        match outcome.verb:
            case "load" if error is None:
                emit(adapter, "Normal", "Loaded", f"Successfully loaded adapter on pod {pod.name}")
            case "unload" if error is None:
                emit(adapter, "Normal", "Unloaded", f"Unloaded adapter from pod {pod.name}")
            case "load" if error is not None and not error.retriable:
                emit(adapter, "Warning", "LoadFailed", f"Loading on pod {pod.name} failed: {error.message}")
            case "load" if error is not None and exhausted:
                note = f"Max retries exceeded for pod {pod.name}: {error.message}"
                emit(adapter, "Warning", "MaxRetriesExceeded", note)

    def _count(self, outcome: RequestOutcome) -> None:
        if outcome.verb != "load":
            return
        if outcome.error is None:
            self._metrics.observe_load("succeeded")
        else:
            self._metrics.observe_load("failed_retriable" if outcome.error.retriable else "failed_final")

    def _write_log(self, key: str, pod: PodView, outcome: RequestOutcome, attempts: int) -> None:
        error = outcome.error
        log = self._log.bind(adapter=key, pod=pod.name, attempt=attempts, route=route_name(pod, self._settings))
        if error is None:
            log.info(f"{outcome.verb} ended")
        elif error.retriable:
            log.info(f"{outcome.verb} failed", error=error.message, error_class=error.reason)
        else:
            log.warning(f"{outcome.verb} failed, no retry", error=error.message, error_class=error.reason)
