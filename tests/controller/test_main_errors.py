"""Errors while `lora-controller` runs: it logs them, waits, and continues when they are fixed."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.controller.served import Served
from tests.controller.test_main import ADAPTERS, FAST, QUIET, line_of, process, story_of
from tests.controller.test_preflight import OPERATOR, grant

ROLE = "clusterroles.rbac.authorization.k8s.io"


def an_adapter(name: str) -> dict[str, Any]:
    spec = {"podSelector": {"matchLabels": {"app": "qwen"}}, "artifactURL": f"hf://acme/{name}"}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def status_of(served: Served, name: str) -> None:
    """Wait until the operator has written a status."""
    async with asyncio.timeout(40):
        while not served.store.get(ADAPTERS, "default", name).get("status"):  # noqa: ASYNC110 - as a user would look
            await asyncio.sleep(0.1)


async def error_of(operator: asyncio.subprocess.Process, message: str) -> dict[str, Any]:
    """Return the next log line whose error contains this text."""
    assert operator.stderr is not None
    async with asyncio.timeout(40):
        while line := await operator.stderr.readline():
            result: dict[str, Any] = json.loads(line)
            if message in str(result.get("error", "")):
                return result
    raise AssertionError(f"it ended without an error that says {message!r}")


def test_a_role_that_shrinks_is_told_by_verb_and_resource_and_work_goes_on_when_it_is_mended(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        grant(served.store, "operators")
        whole = served.store.get(ROLE, "", "lora")
        rules = [rule for rule in whole["rules"] if "modeladapters/status" not in rule["resources"]]
        async with process("--kubeconfig", str(served.kubeconfig(OPERATOR)), *QUIET, *FAST) as operator:
            await line_of(operator, "leading")
            served.store.patch(ROLE, "", "lora", {"rules": rules})
            served.store.create(ADAPTERS, an_adapter("sql"))
            line = await error_of(operator, "cannot patch resource")
            assert 'cannot patch resource "modeladapters/status"' in line["error"]
            assert line["adapter"] == "default/sql"
            served.store.patch(ROLE, "", "lora", {"rules": whole["rules"]})
            await status_of(served, "sql")
            assert operator.returncode is None

    story_of(story, tmp_path)


def test_credentials_that_expire_while_it_runs_are_told_and_new_ones_taken_up(tmp_path: Path) -> None:
    async def story(served: Served) -> None:
        grant(served.store, "operators")
        file = served.kubeconfig(OPERATOR)
        async with process("--kubeconfig", str(file), *QUIET, *FAST) as operator:
            await line_of(operator, "leading")
            served.access.revoke(OPERATOR.name)
            await line_of(operator, "lost the lease")
            served.kubeconfig(OPERATOR)  # the file is renewed
            await line_of(operator, "leading")
            served.store.create(ADAPTERS, an_adapter("sql"))
            await status_of(served, "sql")

    story_of(story, tmp_path)
