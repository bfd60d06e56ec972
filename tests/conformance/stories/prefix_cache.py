"""Weights behind an answer when a name's adapter changes: which adapter made it, and did old prefix blocks take part.

Each story changes what is behind a name, and asks the same prompt at temperature 0 before and after. An answer is
compared with those of each adapter served fresh: so the recording says `l1`, or `other` if no adapter's weights alone
make that answer. The fake says the digests of weights and prefix in headers instead (its text is not computed from
weights); the comparison is the same.

    make record-weights VLLM=0.32.0   # plays to that vLLM, writes weights-VERSION.json
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from fake_vllm.http.messages import PREFIX_WEIGHTS_HEADER, WEIGHTS_HEADER
from tests.conformance.adapters.artifacts import make_all
from tests.conformance.comparison.compare import Difference
from tests.conformance.exchange import PROMPT, Profile
from tests.conformance.profiles import UPDATING
from tests.conformance.recording import FOLDER
from tests.conformance.recording_files import Files
from tests.conformance.servers.engines import Engine, fake_vllm, real_vllm, serving
from tests.conformance.servers.install import install, installation_of

OTHER = "other"
"""No adapter's weights alone, nor the base model's, make this answer."""
PROFILE = Profile(
    "weights",
    ("--enable-lora", "--max-loras", "2", "--max-cpu-loras", "2", "--enable-prefix-caching"),
    {**UPDATING, "VLLM_SERVER_DEV_MODE": "1"},
)
_REFERENCES = ("l0", "l1", "l2", "l3")
_PROMPT = [11 + number * 37 % 400 for number in range(300)]
"""Two whole blocks: a block of the CPU's KV cache has 128 tokens."""
_TOKENS = 12
_TIMEOUT = 300.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a story.

    Attributes:
        act: `put` copies the files of an artifact into a folder; `ask` is the one step with an answer to judge;
            `ask-beside` asks while a stream that was opened by `stream` goes on.
        name: adapter's name, or the folder of a `put`.
        value: folder of a load, artifact of a `put`.
    """

    act: Literal["put", "load", "in-place", "unload", "ask", "stream", "ask-beside", "reset", "reset-running"]
    name: str = ""
    value: str = ""


def put(folder: str, artifact: str) -> Step:
    return Step("put", folder, artifact)


def load(folder: str, name: str = "a") -> Step:
    return Step("load", name, folder)


def in_place(folder: str, name: str = "a") -> Step:
    return Step("in-place", name, folder)


def ask(name: str = "a") -> Step:
    return Step("ask", name)


UNLOAD = Step("unload", "a")
RESET = Step("reset")
RESET_RUNNING = Step("reset-running")
_BEGIN = (put("v1", "l0"), load("v1"), ask())
_OTHERS = (put("x", "l2"), load("x", "x"), ask("x"), put("y", "l3"), load("y", "y"), ask("y"))
_BESIDE = (*_BEGIN, put("x", "l2"), load("x", "x"), put("v1", "l1"), Step("stream", "x"), UNLOAD)

STORIES: Mapping[str, Sequence[Step]] = {
    "same-artifact-again": (*_BEGIN, UNLOAD, load("v1"), ask()),
    "other-path": (*_BEGIN, put("v2", "l1"), UNLOAD, load("v2"), ask(), ask()),
    "other-path-and-back": (*_BEGIN, put("v2", "l1"), UNLOAD, load("v2"), ask(), UNLOAD, load("v1"), ask()),
    "same-path-other-files": (*_BEGIN, put("v1", "l1"), UNLOAD, load("v1"), ask(), ask()),
    "same-path-other-files-reset": (*_BEGIN, put("v1", "l1"), UNLOAD, RESET, load("v1"), ask()),
    "in-place-other-path": (*_BEGIN, put("v2", "l1"), in_place("v2"), ask(), ask()),
    "in-place-same-path": (*_BEGIN, put("v1", "l1"), in_place("v1"), ask(), ask()),
    "in-place-same-path-reset": (*_BEGIN, put("v1", "l1"), in_place("v1"), RESET, ask()),
    "files-change-while-resident": (*_BEGIN, put("v1", "l1"), ask()),
    "files-change-after-in-place": (put("v1", "l0"), in_place("v1"), ask(), put("v1", "l1"), ask(), ask()),
    "evicted-and-back": (*_BEGIN, *_OTHERS, ask()),
    "files-change-while-evicted": (*_BEGIN, *_OTHERS, put("v1", "l1"), ask(), ask()),
    "other-name-same-path": (*_BEGIN, load("v1", "b"), ask("b")),
    "other-path-beside-a-stream": (
        *_BEGIN,
        put("v2", "l1"),
        Step("stream", "a"),
        UNLOAD,
        load("v2"),
        Step("ask-beside", "a"),
        ask(),
    ),
    "reset-beside-a-stream": (*_BESIDE, RESET, load("v1"), Step("ask-beside", "a")),
    "reset-running-beside-a-stream": (*_BESIDE, RESET_RUNNING, load("v1"), Step("ask-beside", "a")),
    "gone-and-base": (*_BEGIN, UNLOAD, ask(), ask("base")),
}
"""Steps of each story, in folders and under names of its own: `a` of two stories are two names."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Answer to one `ask`.

    Attributes:
        weights: artifact whose weights made it, `base`, `other`, or the HTTP status of an error.
        cached: prompt tokens from the prefix cache were used.
    """

    weights: str
    cached: bool


def play(engine: Engine, folder: Path) -> dict[str, list[Outcome]]:
    """Return the outcomes of each story. All are played to one server, with names and folders of their own."""
    loras = folder / "loras"
    make_all(loras)
    with (
        serving(engine, PROFILE, folder / "weights.log") as running,
        httpx.Client(base_url=running.url, timeout=_TIMEOUT, trust_env=False) as client,
    ):
        return play_to(client, loras, folder)


def play_to(client: httpx.Client, loras: Path, folder: Path) -> dict[str, list[Outcome]]:
    """Return the outcomes of each story; `loras` has the artifacts, and `folder` becomes the server's disk."""
    player = _Player(client, loras, folder)
    return {story: player.play(story, steps) for story, steps in STORIES.items()}


class _Player:
    """Plays to one server. Every name and folder has the story's name in front."""

    def __init__(self, client: httpx.Client, loras: Path, folder: Path) -> None:
        self._client = client
        self._loras = loras
        self._folder = folder
        self._fingerprints = dict(self._references())
        if len(set(self._fingerprints.values())) < len(_REFERENCES) + 1:
            raise RuntimeError(f"two adapters give the same answer, so answers tell nothing: {self._fingerprints}")

    def play(self, story: str, steps: Sequence[Step]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with ExitStack() as streams:
            for step in steps:
                match step.act:
                    case "put":
                        self._copy(step.value, self._place(story, step.name))
                    case "load" | "in-place":
                        path = self._place(story, step.value)
                        self._load(_name(story, step.name), path, in_place=step.act == "in-place")
                    case "unload":
                        self._post("/v1/unload_lora_adapter", {"lora_name": _name(story, step.name)})
                    case "reset":
                        self._post("/reset_prefix_cache", {})
                    case "reset-running":
                        self._post("/reset_prefix_cache?reset_running_requests=true", {})
                    case "stream":
                        streams.enter_context(self._stream(_name(story, step.name)))
                    case "ask" | "ask-beside":
                        outcomes.append(self._ask(_name(story, step.name)))
                if step.act == "ask-beside":
                    streams.close()
        self._unload_all()
        return outcomes

    def _references(self) -> Iterator[tuple[str, str]]:
        """Yield what identifies the answer of each artifact, served under a name that has no blocks yet."""
        yield self._fingerprint(self._complete("base")), "base"
        for artifact in _REFERENCES:
            place = self._place("reference", artifact)
            self._copy(artifact, place)
            self._load(f"reference-{artifact}", place, in_place=False)
            yield self._fingerprint(self._complete(f"reference-{artifact}")), artifact
        self._unload_all()

    def _ask(self, name: str) -> Outcome:
        before = self._hits()
        response = self._complete(name)
        if response.status_code != 200:
            return Outcome(str(response.status_code), cached=False)
        weights = self._fingerprints.get(self._fingerprint(response), OTHER)
        return Outcome(weights, cached=self._hits() > before)

    def _complete(self, name: str) -> httpx.Response:
        return self._client.post("/v1/completions", json=_body(name, _TOKENS))

    def _stream(self, name: str) -> "ExitStack":
        stack = ExitStack()
        body = {**_body(name, 480), "prompt": PROMPT, "stream": True}
        response = stack.enter_context(self._client.stream("POST", "/v1/completions", json=body))
        lines = stack.enter_context(closing(response.iter_lines()))  # dropped, it would close the stream
        next(lines)
        return stack

    @staticmethod
    def _fingerprint(response: httpx.Response) -> str:
        """Return what two answers share if the same weights made them."""
        digest = response.headers.get(WEIGHTS_HEADER)
        if digest is None:
            return str(response.json()["choices"][0]["text"])
        prefix = response.headers.get(PREFIX_WEIGHTS_HEADER, digest)
        return str(digest) if prefix == digest else f"{digest} {prefix}"

    def _hits(self) -> float:
        page = self._client.get("/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name in ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")
        )

    def _load(self, name: str, path: Path, *, in_place: bool) -> None:
        more = {"load_inplace": True} if in_place else {}
        self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path), **more})

    def _unload_all(self) -> None:
        for model in self._client.get("/v1/models").json()["data"]:
            if model.get("parent"):
                self._post("/v1/unload_lora_adapter", {"lora_name": model["id"]})

    def _post(self, path: str, body: Any) -> None:
        """Change something; a server that cannot leaves everything as it is, which the answers show."""
        self._client.post(path, json=body)

    def _copy(self, artifact: str, place: Path) -> None:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self._loras / artifact, place)

    def _place(self, story: str, folder: str) -> Path:
        return self._folder / "served" / story / folder


def _name(story: str, name: str) -> str:
    return name if name == "base" else f"{story}-{name}"


def _body(name: str, tokens: int) -> dict[str, Any]:
    return {"model": name, "prompt": _PROMPT, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}


# Recordings


FILES = Files(FOLDER, "weights", "record-weights", 1, list[Outcome])


def write(version: str, outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    """Write a recording, one story a line."""
    lines = [
        f"  {json.dumps(story)}: {json.dumps([asdict(outcome) for outcome in answers])}"
        for story, answers in outcomes.items()
    ]
    head = f'{{"format": {FILES.format}, "version": {json.dumps(version)}, "stories": {{\n'
    FILES.path(version).write_text(head + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


def read(version: str) -> dict[str, list[Outcome]]:
    """Read a recording.

    Raises:
        RecordingError: if the file is missing, damaged, or of another version than its name says.
    """
    stories = FILES.read(version, "stories")["stories"]
    if lost := stories.keys() ^ STORIES.keys():
        raise FILES.damaged(version, min(lost))
    return {story: [Outcome(**answer) for answer in answers] for story, answers in stories.items()}


def differences(version: str) -> list[Difference]:
    """Return where the fake, as `version`, answers with other weights than recorded."""
    recorded = read(version)
    with tempfile.TemporaryDirectory(prefix="weights-") as folder, fake_vllm(version) as engine:
        played = play(engine, Path(folder))
    return [
        Difference(f"weights/{story}", f"[{number}]", asdict(real), asdict(fake))
        for story, outcomes in recorded.items()
        for number, (real, fake) in enumerate(zip(outcomes, played[story], strict=True))
        if real != fake
    ]


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m tests.conformance.stories.prefix_cache VERSION, such as 0.32.0", file=sys.stderr)
        return 2
    version, installation = sys.argv[1], installation_of(sys.argv[1])
    install(installation, version)
    with tempfile.TemporaryDirectory(prefix="weights-") as folder, real_vllm(installation) as engine:
        outcomes = play(engine, Path(folder))
    write(version, outcomes)
    for story, answers in outcomes.items():
        print(f"{story:32}", *(f"{one.weights}{' (cached)' if one.cached else ''}" for one in answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
