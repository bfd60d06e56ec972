"""Makes azure-shaped.csv: requests with the columns and the look of the public Azure LLM inference traces.

They come in bursts (each minute has a rate of its own), prompts are long and answers short. Not one row is from those
traces. `python scenarios/traffic/azure_shaped.py [SEED] > mine.csv` gives others.
"""

import math
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

MINUTES = 15
BUSY = 265.0
"""Mean number of requests per minute."""
BURSTS = 2.0
"""Shape parameter of the gamma distribution of rates; smaller values vary more."""
BEGIN = datetime.fromisoformat("2026-01-05 09:00:00")
LONGEST = 7000
_Z95 = 1.6448536269514722


def rows(seed: int) -> Iterator[str]:
    """Yield the heading and the rows, in order of time."""
    rng = Random(seed)
    yield "TIMESTAMP,ContextTokens,GeneratedTokens"
    for minute in range(MINUTES):
        rate = rng.gammavariate(BURSTS, BUSY / BURSTS) / 60
        second = rng.expovariate(rate)
        while second < 60:
            timestamp = BEGIN + timedelta(seconds=60 * minute + second)
            prompt = min(max(_length(rng, 1500, 6400), 50), LONGEST)
            yield f"{timestamp:%Y-%m-%d %H:%M:%S.%f}0,{prompt},{max(_length(rng, 13, 60), 1)}"
            second += rng.expovariate(rate)


def _length(rng: Random, median: float, p95: float) -> int:
    return round(rng.lognormvariate(math.log(median), math.log(p95 / median) / _Z95))


if __name__ == "__main__":
    print("\n".join(rows(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
