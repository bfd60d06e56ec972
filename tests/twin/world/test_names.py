"""Generated names, as Kubernetes builds them."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.world.kubelet.crash_loop_backoff import CrashLoopBackoff
from twin.world.names import ALPHABET, container_id, pod_name, replica_set_name, template_hash

TEMPLATES = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4)


@given(TEMPLATES)
def test_a_template_hash_is_short_and_of_the_safe_alphabet(template: dict[str, int | str]) -> None:
    hash_ = template_hash(template)
    assert 8 <= len(hash_) <= 10
    assert set(hash_) <= set(ALPHABET)


def test_the_hash_of_a_template_does_not_depend_on_the_order_of_its_keys() -> None:
    assert template_hash({"a": 1, "b": 2}) == template_hash({"b": 2, "a": 1})
    assert template_hash({"a": 1}) != template_hash({"a": 2})
    assert replica_set_name("qwen", {"a": 1}) == "qwen-" + template_hash({"a": 1})


@pytest.mark.parametrize(("base", "kept"), [("qwen-abc", "qwen-abc-"), ("q" * 60, "q" * 58)])
def test_a_generated_name_fits_into_a_label(base: str, kept: str) -> None:
    name = pod_name(base, numpy.random.default_rng(1))
    assert name[:-5] == kept
    assert len(name) <= 63


def test_each_run_of_a_container_has_its_own_id() -> None:
    assert container_id("uid", "engine", 0) != container_id("uid", "engine", 1)
    assert len(container_id("uid", "engine", 0)) == len("containerd://") + 64


def test_a_crash_loop_waits_twice_as_long_each_time_and_forgets_after_ten_minutes() -> None:
    loop = CrashLoopBackoff()
    assert [loop.next_wait(3.0) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
    assert loop.next_wait(600.0) == 0
    assert loop.next_wait(1.0) == 10
