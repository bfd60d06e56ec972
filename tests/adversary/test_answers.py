"""Five hundred hostile answers of engines and API servers: every one is an error of the client, in bounded memory."""

import json
import subprocess
import sys

COUNT, SEED = 500, 16
MAX_RESIDENT_MIB = 256


def test_every_answer_is_a_result_or_an_error_of_the_client_and_memory_is_bounded() -> None:
    command = [sys.executable, "-m", "tests.adversary", "answers", "--count", str(COUNT), "--seed", str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    outcomes = json.loads(done.stdout)
    assert outcomes["faults"] == []
    assert outcomes["results"]["ok"] > 10, outcomes["results"]
    assert outcomes["resident_mib"] < MAX_RESIDENT_MIB, outcomes["resident_mib"]
