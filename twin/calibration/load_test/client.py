"""One streamed completion of an OpenAI-compatible server, timed at the client."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

_LONGEST_MESSAGE = 300  # characters of a server's error text


class LoadTestError(Exception):
    """The server cannot be measured; the message says why, on one line."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Times of the event loop, and lengths in tokens as the server counts them."""

    sent: float
    first: float
    last: float
    prompt_tokens: int
    output_tokens: int


class CompletionClient:
    """Client of one server; the key is sent and never shown."""

    def __init__(self, url: str, api_key: str, timeout: float) -> None:
        """Create a client of the server at `url`, the address before `/v1`; `timeout` in seconds."""
        self.url = url.rstrip("/").removesuffix("/v1")
        self._key = api_key
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx.AsyncClient(headers=headers, timeout=timeout, limits=limits, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, path: str) -> httpx.Response:
        """Return the answer to a GET.

        Raises:
            LoadTestError: if the server does not answer, or refuses the key.
        """
        try:
            response = await self._http.get(self.url + path)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise self._unreachable(error) from None
        if response.status_code in (401, 403):
            raise self._refused(response)
        return response

    async def complete(self, model: str, prompt: Sequence[int], output_tokens: int) -> Answer:
        """Complete a prompt of token ids with exactly `output_tokens` tokens.

        Raises:
            LoadTestError: if the server refuses, does not stream, or the stream breaks off.
        """
        body = {
            "model": model,
            "prompt": prompt,
            "max_tokens": output_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        loop = asyncio.get_running_loop()
        sent = loop.time()
        try:
            async with self._http.stream("POST", f"{self.url}/v1/completions", json=body) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise self._refused(response)
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    raise LoadTestError(f"{self.url}: does not stream completions, so first tokens cannot be measured")
                return await self._read_stream(response, sent)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise self._unreachable(error) from None

    async def _read_stream(self, response: httpx.Response, sent: float) -> Answer:
        clock = asyncio.get_running_loop().time
        first = last = 0.0
        usage: dict[str, Any] = {}
        async for line in _lines(response):
            if not line.startswith(b"data: {"):
                continue
            now = clock()
            event = json.loads(line[6:])
            if "error" in event:
                raise LoadTestError(f"{self.url}: a stream ended with an error: {self._text(event['error'])}")
            if event.get("choices"):
                first, last = first or now, now
            usage = event.get("usage") or usage
        prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not first or not isinstance(prompt, int) or not isinstance(output, int):
            raise LoadTestError(f"{self.url}: a stream ended without tokens or without `usage`")
        return Answer(sent, first, last, prompt, output)

    def _unreachable(self, error: Exception) -> LoadTestError:
        return LoadTestError(f"{self.url}: no answer: {self._text(str(error) or type(error).__name__)}")

    def _refused(self, response: httpx.Response) -> LoadTestError:
        if response.status_code in (401, 403):
            hint = "refuses the key" if self._key else "needs a key: --api-key-file, or OPENAI_API_KEY"
            return LoadTestError(f"{self.url}: {hint} (status {response.status_code})")
        try:
            content = response.json()
            message = content.get("message") or content.get("error", {}).get("message") or response.text
        except (ValueError, AttributeError):
            message = response.text
        return LoadTestError(
            f"{self.url}: refuses a completion with status {response.status_code}: {self._text(message)}"
        )

    def _text(self, value: object) -> str:
        """Return a server's text on one line and without the key."""
        text = " ".join(str(value).split())
        if self._key:
            text = text.replace(self._key, "***")
        return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the lines of a stream as they arrive. httpx would also split at U+0085, which may occur in an answer."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
