"""Inventories of engines: what replaces them, and what makes an entry unclear."""

from dataclasses import replace

from controller.engine.client import AdapterList
from controller.requests.engine_records import EngineRecords
from tests.controller.builders import a_pod

POD = a_pod()
LISTED = AdapterList({"sql": "acme/sql"}, frozenset({"base"}))


def test_an_inventory_is_valid_for_one_incarnation() -> None:
    records = EngineRecords()
    records.store(POD, LISTED, records.get(POD).changes)
    restarted = replace(POD, engine="containerd://2")
    assert records.inventory(POD) is not None
    assert records.inventory(restarted) is None


def test_a_confirmed_request_updates_the_inventory() -> None:
    records = EngineRecords()
    records.store(POD, LISTED, records.get(POD).changes)
    records.confirm(POD, "chat", "acme/chat")
    records.confirm(POD, "sql", None)
    inventory = records.inventory(POD)
    assert inventory is not None
    assert inventory.models == {"chat": "acme/chat"}


def test_without_an_inventory_a_confirmed_request_makes_none() -> None:
    records = EngineRecords()
    records.confirm(POD, "sql", "acme/sql")
    assert records.inventory(POD) is None


def test_an_ambiguous_request_makes_its_name_unclear_until_the_next_list() -> None:
    records = EngineRecords()
    records.store(POD, LISTED, records.get(POD).changes)
    records.mark_unclear(POD, "sql")
    inventory = records.inventory(POD)
    assert inventory is not None
    assert inventory.unclear == {"sql"}
    records.store(POD, LISTED, records.get(POD).changes)
    inventory = records.inventory(POD)
    assert inventory is not None
    assert not inventory.unclear


def test_the_same_list_again_changes_nothing() -> None:
    records = EngineRecords()
    records.store(POD, LISTED, records.get(POD).changes)
    before = records.get(POD)
    records.store(POD, LISTED, records.get(POD).changes)
    assert records.get(POD) is before


def test_an_engine_that_did_not_answer_is_marked_until_it_does() -> None:
    records = EngineRecords()
    records.mark_unanswered(POD)
    assert records.by_pod[POD.uid].unanswered == POD.engine
    records.store(POD, LISTED, records.get(POD).changes)
    assert not records.by_pod[POD.uid].unanswered


def test_what_ended_while_a_list_was_on_its_way_takes_precedence() -> None:
    records = EngineRecords()
    requested_at = records.get(POD).changes
    records.confirm(POD, "chat", "acme/chat")
    records.confirm(POD, "sql", None)
    records.mark_unclear(POD, "math")
    inventory = records.store(POD, LISTED, requested_at)
    assert inventory.models == {"chat": "acme/chat"}
    assert inventory.unclear == {"math"}
    later = records.store(POD, LISTED, records.get(POD).changes)
    assert (later.models, later.unclear) == ({"sql": "acme/sql"}, frozenset())


def test_a_list_that_was_overtaken_by_a_later_one_changes_nothing() -> None:
    records = EngineRecords()
    overtaken = records.get(POD).changes
    records.confirm(POD, "sql", "acme/sql")
    records.store(POD, LISTED, records.get(POD).changes)
    assert records.store(POD, AdapterList({}, frozenset()), overtaken).models == {"sql": "acme/sql"}


def test_a_change_in_a_former_incarnation_says_nothing_about_the_current_one() -> None:
    records = EngineRecords()
    restarted = replace(POD, engine="containerd://2")
    requested_at = records.get(POD).changes
    records.confirm(POD, "chat", "acme/chat")
    assert records.store(restarted, LISTED, requested_at).models == {"sql": "acme/sql"}
