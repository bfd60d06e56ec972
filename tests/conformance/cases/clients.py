"""Requests of well-known clients: `clients/requests.json`, recorded by `make record-clients`."""

from tests.conformance.clients import outcomes
from tests.conformance.clients.driver import PROFILE
from tests.conformance.clients.proxy import Sent
from tests.conformance.exchange import ABSENT, Case, Request


def _request(sent: Sent) -> Request:
    return Request(sent["method"], sent["path"], sent.get("json", ABSENT), mask_usage=True)


CASES = tuple(
    Case(f"clients/{name}", tuple(_request(each) for each in sent), PROFILE)
    for name, sent in outcomes.requests().items()
    if sent
)
