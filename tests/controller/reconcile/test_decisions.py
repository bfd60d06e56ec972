"""Decisions in random situations are the ones that were reviewed."""

from tests.controller.reconcile.decisions import stored, texts


def test_in_random_situations_the_operator_decides_what_is_written_down() -> None:
    before, now = stored(), texts()
    differing = next((index for index, pair in enumerate(zip(before, now, strict=False)) if len(set(pair)) > 1), None)
    hint = "if meant, `python -m tests.controller.reconcile.decisions` writes it down; review the difference"
    if differing is not None:
        heading = next(text for text in reversed(now[: differing + 1]) if text.startswith("# "))
        assert now[differing] == before[differing], f"situation {heading}: {hint}"
    assert len(before) == len(now), hint
