"""The table: what is asked of a server, by subject. Start reading at `loading.py`."""

from tests.conformance.cases import (
    authentication,
    chat,
    clients,
    completions,
    development,
    endpoints,
    listing,
    loading,
    messages,
    metrics,
    responses,
    routing,
    tokenizing,
    unloading,
    unusual,
)
from tests.conformance.exchange import Case

CASES: tuple[Case, ...] = (
    *loading.CASES,
    *unloading.CASES,
    *listing.CASES,
    *completions.CASES,
    *chat.CASES,
    *tokenizing.CASES,
    *metrics.CASES,
    *responses.CASES,
    *messages.CASES,
    *endpoints.CASES,
    *development.CASES,
    *routing.CASES,
    *authentication.CASES,
    *clients.CASES,
    *unusual.CASES,
)
