"""What benchmarks measure alike: seconds of several ways in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def in_turn(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, called in turn so often: what else the machine does meets all of them."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, call in ways.items():
            started = time.perf_counter()
            call()
            seconds[way].append(time.perf_counter() - started)
            print(f"{way}: {seconds[way][-1]:.2f} s", flush=True)
    return seconds
