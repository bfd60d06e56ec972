"""Steps of lm-eval: log-likelihoods of given continuations, and texts until a stop string."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

_TOKENIZER = Path(__file__).parent / "tokenizer"
_LIMITS = {"until": ["\n"], "max_gen_toks": 4}


def steps(url: str, loras: str) -> Mapping[str, Callable[[], Any]]:
    to: dict[str, Any] = {"model": "base", "num_concurrent": 1, "max_retries": 1, "max_length": 512}
    local = {"tokenizer_backend": "huggingface", "tokenizer": str(_TOKENIZER)}

    def completions(**options: Any) -> LocalCompletionsAPI:
        return LocalCompletionsAPI(base_url=f"{url}/v1/completions", **{**to, **local, **options})

    def chat(**options: Any) -> LocalChatCompletion:
        return LocalChatCompletion(base_url=f"{url}/v1/chat/completions", **{**to, **options})

    return {
        "loglikelihood": lambda: _scores(
            completions().loglikelihood([_request("loglikelihood", "the sky is", " blue")])
        ),
        "loglikelihood-batch": lambda: _scores(
            completions(batch_size=2).loglikelihood(
                [_request("loglikelihood", "a", " b"), _request("loglikelihood", "c", " d")]
            )
        ),
        "rolling": lambda: _scores(
            [
                (score, None)
                for score in completions().loglikelihood_rolling([_request("loglikelihood_rolling", "the sky")])
            ]
        ),
        "generate": lambda: _texts(completions().generate_until([_request("generate_until", "hello", dict(_LIMITS))])),
        "generate-text": lambda: _texts(
            completions(tokenized_requests=False).generate_until([_request("generate_until", "hello", dict(_LIMITS))])
        ),
        "chat": lambda: _chat(chat()),
    }


def _request(kind: Any, *arguments: Any) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0, metadata=("task", 0, 1))


def _chat(model: LocalChatCompletion) -> Any:
    prompt = model.apply_chat_template([{"role": "user", "content": "hello"}])
    return _texts(model.generate_until([_request("generate_until", prompt, dict(_LIMITS))]))


def _scores(scores: Any) -> list[dict[str, Any]]:
    return [{"logprob": score, "greedy": type(greedy).__name__} for score, greedy in scores]


def _texts(texts: Any) -> list[dict[str, Any]]:
    return [{"text": text} for text in texts]
