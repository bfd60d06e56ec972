"""A certificate authority for one run and the server's certificate, both in memory only."""

import ssl
from dataclasses import dataclass

from formats.installation import install_command
from twin.serve.errors import ServeError


@dataclass(frozen=True, slots=True)
class Certificates:
    """The server's TLS context, and the certificate that clients have to trust."""

    context: ssl.SSLContext
    ca: bytes
    """PEM."""


def make(*hosts: str) -> Certificates:
    """Return certificates for these names and addresses.

    Raises:
        ServeError: the library `trustme` is not installed.
    """
    try:
        import trustme
    except ImportError as error:
        raise ServeError(f"TLS needs the extra `serve`: {install_command('serve')}; or use --insecure-http") from error
    authority = trustme.CA(organization_name="lora-twin")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*dict.fromkeys(hosts)).configure_cert(context)
    return Certificates(context, authority.cert_pem.bytes())
