"""All request classes of the page."""

from tests.conformance.fields.other_apis import OTHER_APIS
from tests.conformance.fields.table import CLASSES

ALL = (*CLASSES, *OTHER_APIS)
