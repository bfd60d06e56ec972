"""The table: what is asked of a server, by subject. Start reading at `loading.py`."""

from tests.conformance.cases import (
    authentication,
    chat,
    completions,
    listing,
    loading,
    metrics,
    routing,
    tokenizing,
    unloading,
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
    *routing.CASES,
    *authentication.CASES,
)
