"""The table of adapters: what needs attention comes first, and every row has an address."""

from tests.twin.synthetic import Writer, a_run
from twin.report.adapter_rows import AdapterRow, adapter_rows
from twin.report.timeline import build_timeline


def rows(writer: Writer) -> list[AdapterRow]:
    return adapter_rows(build_timeline(writer.lines).adapters)


def test_adapters_that_are_not_running_come_first_and_deleted_ones_last() -> None:
    w = Writer()
    w.adapter("quick", 0.0, [(1.0, "Running")])
    w.adapter("slow", 0.0, [(90.0, "Running")])
    w.adapter("gone", 0.0, [(1.0, "Running")])
    w.gone("gone", 100.0)
    w.adapter("stuck", 0.0, [(1.0, "Loading")], message="load on model-0 failed: HTTP 500")
    table = rows(w)
    assert [(row.name, row.phase) for row in table] == [
        ("default/stuck", "Loading"),
        ("default/slow", "Running"),
        ("default/quick", "Running"),
        ("default/gone", "deleted"),
    ]
    assert [(row.time, row.seconds) for row in table[:2]] == [("—", ""), ("90 s", "90.000")]
    assert table[0].message == "load on model-0 failed: HTTP 500"


def test_a_row_counts_loads_and_names_the_pods() -> None:
    row = next(row for row in adapter_rows(build_timeline(a_run()).adapters) if row.name == "default/sql-04")
    assert (row.loads, row.failed, row.count) == (7, 6, 1)
    assert all("/" not in pod for pod in row.pods)


def test_an_adapter_made_again_has_an_address_of_its_own() -> None:
    w = Writer()
    w.adapter("sql", 0.0, [(1.0, "Running")])
    w.gone("sql", 10.0)
    timeline = build_timeline(w.lines).adapters
    assert [row.id for row in adapter_rows([*timeline, *timeline])] == ["default/sql", "default/sql~2"]
