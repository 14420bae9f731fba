"""docs/performance.md: one section a measurement, each rewritten by itself."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
HEAD = (
    "# Performance\n\nWritten by `make bench-apply`, `make bench-train` and `python -m benchmarks.search`, "
    "on made data: random numbers, which no codec makes smaller.\n"
)


def put_section(title: str, text: str, order: Sequence[str]) -> None:
    """Write `text` under `title`, in the place that `order` gives it, or last; the other sections stay."""
    old = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    sections = dict(re.findall(r"^## ([^\n]+)\n\n(.*?)(?=\n^## |\Z)", old, re.MULTILINE | re.DOTALL)) | {title: text}
    texts = [
        f"\n## {name}\n\n{sections[name].strip()}\n" for name in dict.fromkeys([*order, *sections]) if name in sections
    ]
    DOCUMENT.write_text(HEAD + "".join(texts))


def put_part(document: Path, title: str, text: str) -> None:
    """Write `text` under `title` in a document that people write too: in place of what stood there, or last."""
    old, part = document.read_text(), f"## {title}\n\n{text.strip()}\n"
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=\n^## |\Z)", old, re.MULTILINE | re.DOTALL)
    if found is None:
        document.write_text(f"{old.rstrip()}\n\n{part}")
    else:
        document.write_text(old[: found.start()] + part + old[found.end() :])


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, and the machine that its figures come from."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + f"\n\n{machine()}\n"


def met(reached: bool) -> str:
    """The verdict on a target."""
    return "met" if reached else "**not met**"


def machine() -> str:
    """Where this was measured, and with what."""
    match = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cores = len(os.sched_getaffinity(0))
    used = ", ".join(f"{name} {version(name)}" for name in ("pyspark", "delta-spark", "pyarrow", "numpy"))
    return f"{cores} cores of {match.group(1) if match else 'an unnamed CPU'}; {used}."
