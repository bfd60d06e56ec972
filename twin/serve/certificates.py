"""A certificate authority for one run, and the server's certificate: made in memory, gone with the process."""

import ssl
from dataclasses import dataclass

from twin.serve.errors import ServeError


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the server shows, and what clients need to trust it."""

    context: ssl.SSLContext
    ca: bytes
    """PEM."""


def make(*hosts: str) -> Certificates:
    """Certificates for those names and addresses.

    Raises:
        CannotServe: the library that makes them is not installed.
    """
    try:
        import trustme
    except ImportError as error:
        raise ServeError(
            "TLS needs the extra `serve`: pip install 'lora-twin[serve]'; or use --insecure-http"
        ) from error
    authority = trustme.CA(organization_name="lora-twin")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*dict.fromkeys(hosts)).configure_cert(context)
    return Certificates(context, authority.cert_pem.bytes())
