"""`$(NAME)` in a container's command, arguments and environment.

Source: `k8s.io/kubernetes/third_party/forked/golang/expansion`.
"""

import re
from collections.abc import Iterable, Mapping

_REFERENCE = re.compile(r"\$\$|\$\(([^()]*)\)")


def expand_variables(text: str, env: Mapping[str, str]) -> str:
    """Return `text` with `$(NAME)` replaced; an unset one stays, and `$$` becomes `$`."""
    return _REFERENCE.sub(lambda match: "$" if match[0] == "$$" else env.get(match[1], match[0]), text)


def expand_environment(variables: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return an environment; the value of each variable may refer to earlier ones."""
    env: dict[str, str] = {}
    for name, value in variables:
        env[name] = expand_variables(value, env)
    return env
