"""The twin's controllers do what real ones did in the recordings, but for a short table of differences."""

import pytest

from tests.conformance_kubernetes import recording
from tests.conformance_kubernetes.comparison import differences
from tests.conformance_kubernetes.known_differences import KNOWN
from tests.conformance_kubernetes.play import play_in_twin
from tests.conformance_kubernetes.stories import STORIES


@pytest.mark.parametrize("version", recording.versions())
def test_every_difference_is_in_the_table_and_the_table_has_no_others(version: str) -> None:
    recorded, used, unexplained = recording.read(version), set(), []
    for story in STORIES:
        for difference in differences(story.name, recorded[story.name], play_in_twin(story)):
            entry = next((item for item in KNOWN if item.explains(difference)), None)
            used.add(entry)
            if entry is None:
                unexplained.append(str(difference))
    assert unexplained == []
    assert [entry for entry in KNOWN if entry not in used] == []
