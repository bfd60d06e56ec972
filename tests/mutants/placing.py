"""Small simulations of each placement policy, judged by what it promises; not a test."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.policies import Candidate, View
from tests.mutants.judging import run_world
from tests.twin.worlds import adapters, deployment
from twin.trace.lines import AdapterLine, Line, PodLine

Places = Mapping[str, tuple[str, ...]]
"""Adapter to its pods."""
_TWO_ZONES = {"nodes": {"count": 4, "gpus": 2, "zones": ["a", "b"]}}


class FullestFirst:
    """A user's own policy: the fullest pods."""

    name = "fullest-first"

    def choose(self, view: View) -> Sequence[str]:
        def rank(pod: Candidate) -> tuple[int, str]:
            return -pod.adapters, pod.name

        return [pod.name for pod in sorted(view.candidates, key=rank)[: view.count]]


def places(lines: list[Line], until: float = 1e9) -> Places:
    """Return where each adapter was at a time, in seconds."""
    last: dict[str, tuple[str, ...]] = {}
    for line in lines:
        if isinstance(line, AdapterLine) and line.t <= until:
            last[line.object] = () if line.event == "deleted" else tuple(line.instances)
    return last


def _crowds(lines: list[Line]) -> Counter[str]:
    return Counter(pod for pods in places(lines).values() for pod in pods)


def _world(folder: Path, policy: str, *templates: dict[str, Any], **sections: Any) -> tuple[list[Line], str]:
    """Run adapters that come one after another; return the record, and the first violation or that one does not run."""
    arriving = list(templates) or [adapters(8, replicas=1, arrive={"poisson": "20/min", "from": "30s"})]
    world: dict[str, Any] = {"pods": 4, "controller": {"policy": policy}, "adapters": arriving, "duration": "6m"}
    lines, wrong = run_world(folder, **world | sections)
    idle = [name for name, pods in places(lines).items() if not pods]
    return lines, wrong or (f"{', '.join(idle)} do not run" if idle else "")


def _even(folder: Path, policy: str, most: int) -> str:
    """Eight adapters on four pods: none gets many more than the others."""
    lines, wrong = _world(folder, policy)
    crowds = _crowds(lines)
    return wrong or (f"one pod has {max(crowds.values())} of 8 adapters" if max(crowds.values()) > most else "")


def _packed(folder: Path, policy: str, pods: int) -> str:
    """Eight adapters are on as few pods as the policy allows: batches of four, then memory."""
    engines = deployment(4)
    command_of(engines).extend(["--max-loras", "4"])
    lines, wrong = _world(folder, policy, objects=[engines])
    return wrong or (f"8 adapters are on {len(_crowds(lines))} pods" if len(_crowds(lines)) != pods else "")


def command_of(engines: dict[str, Any]) -> list[str]:
    """Return the command line of a Deployment's engines, to be extended."""
    command: list[str] = engines["spec"]["template"]["spec"]["containers"][0]["command"]
    return command


def _spread(folder: Path) -> str:
    """Two replicas are in two zones, four on four nodes."""
    two = adapters(3, replicas=2, arrive={"at": "30s"})
    four = adapters(1, replicas=4, arrive={"at": "60s"}) | {"name": "wide-{i}"}
    lines, wrong = _world(folder, "spread", two, four, pods=8, **_placed(_TWO_ZONES))
    pods = {line.object.split("/")[1]: line for line in lines if isinstance(line, PodLine)}
    for name, chosen in places(lines).items():
        zones, nodes = {pods[pod].zone for pod in chosen}, {pods[pod].node for pod in chosen}
        if not wrong and (len(zones) != 2 or len(nodes) != len(chosen)):
            wrong = f"{name} with {len(chosen)} replicas is on {len(nodes)} nodes in {len(zones)} zones"
    return wrong


def _placed(cluster: dict[str, Any]) -> dict[str, Any]:
    engines = {"default": {"startup": "2s", "load": "700ms", "unload": "50ms"}}
    return {"cluster": {"engines": engines, "artifacts": {"bandwidth": "10Gbit/s"}} | cluster}


def _kept(folder: Path) -> str:
    """By hash: adapters that are created again under their names come to the pods where they were."""
    edits = [{"at": "2m30s", "of": f"ModelAdapter/a-{i}", "delete": True} for i in range(8)]
    edits += [{"at": f"{240 - 5 * i}s", "of": f"ModelAdapter/a-{i}", "create": True} for i in range(8)]
    lines, wrong = _world(folder, "rendezvous", edits=edits)
    before, after = places(lines, 149), places(lines)
    moved = sorted(name for name in before if before[name] != after[name])
    if not wrong and len(_crowds(lines)) < 2:
        wrong = "8 adapters have the same pod"
    return wrong or (f"{', '.join(moved)} moved" if moved else "")


def _busy(folder: Path, policy: str) -> str:
    """Half of the engines get all requests: later adapters come to the others."""
    early = adapters(2, replicas=1, arrive={"at": "30s"}) | {"name": "busy-{i}"}
    late = adapters(2, replicas=1, arrive={"poisson": "12/min", "from": "150s"}, spec={"schedulerName": policy})
    asked: dict[str, Any] = {"rate": "1/h", "from": "60s", "prompt_tokens": 256, "output_tokens": 300}
    asked["crowds"] = [{"adapter": f"busy-{i}", "rate": "1/s", "from": "60s", "until": "4m"} for i in range(2)]
    scraped = {"policy": "default", "scrape_interval": "5s"}
    lines, wrong = _world(folder, policy, early, late, traffic=asked, controller=scraped, duration="4m")
    final = places(lines)
    busy = {pod for name, pods in final.items() if "busy" in name for pod in pods}
    wrongly = sorted(name for name, pods in final.items() if "busy" not in name and busy & set(pods))
    return wrong or (f"{', '.join(wrongly)} came to a busy engine" if wrongly else "")


def _ranks(folder: Path) -> str:
    """Small ranks leave the engines with a large limit to the large ones."""
    large = deployment(2)
    large["metadata"]["name"] = "large"
    command_of(large).extend(["--max-lora-rank", "64"])
    small = adapters(6, replicas=1, arrive={"at": "30s"}, spec={"additionalConfig": {"rank": "8"}})
    big = adapters(2, replicas=1, arrive={"at": "60s"}, spec={"additionalConfig": {"rank": "64"}}) | {"name": "big-{i}"}
    lines, wrong = _world(folder, "rank-aware", small, big, objects=[deployment(2), large])
    for name, pods in places(lines).items():
        if not wrong and any(pod.startswith("large") != ("big" in name) for pod in pods):
            wrong = f"{name} is on {', '.join(pods)}"
    return wrong


OWN = f"{__name__}:{FullestFirst.__name__}"
POLICY_WORLDS: dict[str, Callable[[Path], str]] = {
    "policy least-adapters": lambda folder: _even(folder, "least-adapters", 2),
    "policy random": lambda folder: _even(folder, "random", 5),
    "policy power-of-two": lambda folder: _even(folder, "power-of-two", 4),
    "policy bin-pack": lambda folder: _packed(folder, "bin-pack", 2),
    "policy of one's own": lambda folder: _packed(folder, OWN, 1),
    "policy spread": _spread,
    "policy rendezvous": _kept,
    "policy least-latency": lambda folder: _busy(folder, "least-latency"),
    "policy least-throughput": lambda folder: _busy(folder, "least-throughput"),
    "policy load-aware": lambda folder: _busy(folder, "load-aware"),
    "policy rank-aware": _ranks,
}
