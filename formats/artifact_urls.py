"""URLs of artifacts without their secrets: users, passwords, and the signatures in queries."""

import re
from functools import lru_cache
from hashlib import sha256

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#@]*@)?([^?#]*)(\?[^#]*)?")
_HIDDEN_QUERY = re.compile(r"\?hidden-[0-9a-f]{8}")


@lru_cache(maxsize=65536)
def hide_url_secrets(url: str) -> str:
    """Return the URL with texts in place of its user and query, which differ if these differ; others unchanged.

    Another query is another artifact.
    """
    return _URL.sub(_hidden, url, count=1) if "://" in url else url


def _hidden(match: re.Match[str]) -> str:
    scheme, user, rest, query = match.groups(default="")
    if query and not _HIDDEN_QUERY.fullmatch(query):
        query = f"?hidden-{sha256(query.encode(errors='replace')).hexdigest()[:8]}"
    return f"{scheme}{'hidden@' if user else ''}{rest}{query}"
