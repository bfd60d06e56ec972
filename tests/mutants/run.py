"""`make mutants`: each mutant meets the checks until one finds it; not a test. A survivor is a missing oracle.

Exit code 1 if fewer than 95 % are caught, or an honest operator is accused.
"""

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.applying import ROOT, Mutant, copy
from tests.mutants.catalogue import MUTANTS

SEEDS = 100
LEAST = 0.95


@dataclass(frozen=True, slots=True)
class Fate:
    """Result of the checks of one operator."""

    tried: int
    """Number of checks made."""
    check: str
    """The check that failed; empty if none did."""
    what: str


def fate(mutant: Mutant | None, seeds: int) -> Fate:
    """Run the checks on one operator (None: the unchanged one), in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy(Path(folder), mutant)
        program = [sys.executable, "-m", "tests.mutants.checks", str(checkout), str(seeds)]
        ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    verdict = ended.stdout.splitlines()[-1:]
    tried, check, what = verdict[0].split("\t") if verdict else ("0", "start", "")
    if ended.returncode == -signal.SIGVTALRM:
        return Fate(int(tried), check, "it never ends")
    if ended.returncode:
        return Fate(int(tried), check, f"its process died: {(ended.stderr.splitlines() or [''])[-1]}")
    return Fate(int(tried), check if what else "", what)


def main(seeds: int) -> int:
    if honest := fate(None, min(seeds, 17)).what:
        print(f"the honest operator is accused: {honest}")
        return 1
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        fates = list(pool.map(lambda mutant: _print_result(mutant, fate(mutant, seeds)), MUTANTS))
    survivors = [mutant for mutant, end in zip(MUTANTS, fates, strict=True) if not end.check]
    caught = len(MUTANTS) - len(survivors)
    print(f"{caught} of {len(MUTANTS)} mutants caught, {caught / len(MUTANTS):.0%}")
    for mutant in survivors:
        print(f"survived: {mutant.name} ({mutant.file}: {mutant.why})")
    return 0 if caught >= LEAST * len(MUTANTS) else 1


def _print_result(mutant: Mutant, end: Fate) -> Fate:
    by = f"caught by {end.check} (check {end.tried}): {end.what[:100]}" if end.check else f"SURVIVED {end.tried} checks"
    print(f"{mutant.name} | {by}", flush=True)
    return end


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS))
