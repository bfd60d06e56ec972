"""Command line: hostile servers for any operator, and the generated requests and answers of the tests (README)."""

import argparse
import asyncio
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.adversary.answers import api_answer, engine_answer
from tests.adversary.server import AdversaryServer, listening


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    if options.command in ("engine", "api"):
        try:
            asyncio.run(_serve(options))
        except KeyboardInterrupt:
            return 0
    if options.command == "answers":
        from tests.adversary.clients import use_both

        print(use_both(options.count, options.seed).text())
        return 0
    return _fuzz(options.count, options.seed)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.adversary", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_ in (("engine", "serve a hostile engine"), ("api", "serve a hostile API server")):
        serve = commands.add_parser(name, help=help_)
        serve.add_argument("--host", default="127.0.0.1", help="address to listen on")
        serve.add_argument("--port", type=int, default=0, help="port to listen on (0 picks a free one)")
        serve.add_argument("--upstream", default="", help="HOST:PORT of an honest server, without TLS")
        serve.add_argument("--share", type=float, default=0.3, help="share of hostile answers, with --upstream")
        serve.add_argument("--seed", type=int, default=1, help="seed of the answers")
    for name, help_ in (("answers", "give hostile answers to this operator's clients"), ("fuzz", "send requests")):
        run = commands.add_parser(name, help=help_)
        run.add_argument("--count", type=int, default=500, help="number of answers or requests")
        run.add_argument("--seed", type=int, default=1, help="seed of the generator")
    return parser.parse_args(arguments)


async def _serve(options: argparse.Namespace) -> None:
    draw = engine_answer if options.command == "engine" else api_answer
    host, _, port = options.upstream.rpartition(":")
    upstream = (host, int(port)) if options.upstream else None
    server = AdversaryServer(draw, Random(options.seed), upstream, options.share)
    async with listening(server, options.host, options.port) as bound:
        print(f"http://{options.host}:{bound}", flush=True)
        await asyncio.Event().wait()


def _fuzz(count: int, seed: int) -> int:
    from tests.adversary.fuzz import fuzz_engine, fuzz_served_api, fuzz_sidecar

    with TemporaryDirectory() as folder:
        reports = {
            "served API": fuzz_served_api(count * 13 // 20, seed, Path(folder)),
            "fake engine": fuzz_engine(count * 3 // 20, seed),
            "sidecar": fuzz_sidecar(count * 4 // 20, seed, Path(folder)),
        }
    for name, report in reports.items():
        print(f"{name}: {dict(sorted(report.statuses.items()))}, {len(report.faults)} faults")
        for fault in report.faults[:10]:
            print(f"  {fault[:1000]}")
    return 1 if any(report.faults for report in reports.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
