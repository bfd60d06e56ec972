"""Release numbers in version texts and image tags."""

import pytest

from formats.engine_releases import NEVER, Release, parse_release, version_of_image
from formats.errors import FormatError


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("0.27.0", (0, 27, 0)),
        ("v0.28.1rc1", (0, 28, 1)),
        ("0.9", (0, 9, 0)),
        ("0.32.0+cpu", (0, 32, 0)),
        ("v0.11.0-x86_64", (0, 11, 0)),
    ],
)
def test_a_version_has_three_numbers(version: str, release: Release) -> None:
    assert parse_release(version) == release


@pytest.mark.parametrize("version", ["latest", "nightly", "latest-cpu"])
def test_a_rolling_version_is_newer_than_any_number(version: str) -> None:
    assert (999, 999, 999) < parse_release(version) < NEVER


@pytest.mark.parametrize("version", ["", "my-build", "27", "stable"])
def test_other_texts_are_refused(version: str) -> None:
    with pytest.raises(FormatError, match=r"is not a vLLM version; allowed: a number such as"):
        parse_release(version)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("vllm/vllm-openai:v0.24.0", "v0.24.0"),
        ("localhost:5000/vllm:0.9.1@sha256:abc", "0.9.1"),
        ("vllm/vllm-openai:nightly", "nightly"),
        ("vllm/vllm-openai:prod", ""),
        ("localhost:5000/vllm", ""),
        ("aibrix/runtime:v0.3.0", ""),
        ("", ""),
    ],
)
def test_an_images_tag_names_the_version(image: str, version: str) -> None:
    assert version_of_image(image) == version
