"""Cuts the README's table from docs/quality.md, SciFact only: make bench-quality ends with it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks.quality import OUT as QUALITY

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- cut from docs/quality.md by make bench-quality -->", "<!-- end of the cut -->"
COLLECTIONS = {
    "scifact": "SciFact",
}
ROWS = {
    "truncation": "truncation",
    "svd": "SVD",
    "ships, corpus alone": "ships, corpus alone",
    "ships, queries": "ships, with past queries, no labels",
    "ships, judgments": "ships, with judgments of them",
}


def cut(quality: str) -> str:
    """The README's table in Markdown, from the text of docs/quality.md; numbers are copied, intervals left there.

    Raises `ValueError` where a collection or row is missing.
    """
    lines: list[str] = []
    for name, title in COLLECTIONS.items():
        match = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", quality, re.MULTILINE | re.DOTALL)
        if not match:
            raise ValueError(f"docs/quality.md has no section {name}; run make bench-quality")
        tables = re.findall(r"^(.*(?:queries|query)\b.*[.:])\n\n(\| nDCG@10 \|(?:.*\n)+?)\n", match[1], re.MULTILINE)
        for position, (about, table) in enumerate(tables[: 2 if name == "scifact" else 1]):
            head, _, *rows = table.splitlines()
            if not lines:
                lines += [head, "|---|" + "---|" * (head.count("|") - 2)]
            count = re.search(r"\d+ test queries", about)
            of = f", the {count[0]} with unseen documents" if position else f", {count[0]}"  # type: ignore[index]
            lines.append(f"| **{title}**{of} |" + " |" * (head.count("|") - 2))
            lines += _rows(name, rows)
    return "\n".join(lines)


def _rows(name: str, rows: Iterable[str]) -> Iterable[str]:
    cells = {row.split(" | ")[0].removeprefix("| "): row.split(" | ")[1:] for row in rows}
    for label, title in ROWS.items():
        if label not in cells:
            raise ValueError(f"docs/quality.md, section {name}: there is no row {label!r}; run make bench-quality")
        values = [re.sub(r"<br>\[.*?\]", "", cell).rstrip(" |") for cell in cells[label]]
        yield f"| {title} | {' | '.join(values)} |"


def with_table(readme: str, table: str) -> str:
    """`readme` with what stands between the two comments replaced by `table`."""
    before, _, rest = readme.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"README.md lacks the comments {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main() -> None:
    README.write_text(with_table(README.read_text(), cut(QUALITY.read_text())))
    print("README.md: its table is cut from docs/quality.md")


if __name__ == "__main__":
    main()
