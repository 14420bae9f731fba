"""Run and qrels files as TREC's tools read and write them, by ir-measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adaptor.errors import AdaptorError

Run = Mapping[str, Mapping[str, float]]
"""Query id -> corpus id -> score."""


def read_qrels(path: str) -> dict[str, dict[str, int]]:
    """Query id -> corpus id -> grade of a file with lines `query 0 document grade`."""
    import ir_measures

    grades: dict[str, dict[str, int]] = {}
    for judgment in _read(path, ir_measures.read_trec_qrels, "query 0 document grade"):
        grades.setdefault(judgment.query_id, {})[judgment.doc_id] = judgment.relevance
    return grades


def read_run(path: str) -> dict[str, dict[str, float]]:
    """Query id -> corpus id -> score of a file with lines `query Q0 document rank score tag`."""
    import ir_measures

    run: dict[str, dict[str, float]] = {}
    for hit in _read(path, ir_measures.read_trec_run, "query Q0 document rank score tag"):
        run.setdefault(hit.query_id, {})[hit.doc_id] = hit.score
    return run


def write_run(path: Path, run: Run, tag: str) -> None:
    """One line a hit, best first; `AdaptorError` for an id that a line can't hold."""
    for name in (*run, *(document for hits in run.values() for document in hits)):
        if len(name.split()) != 1:
            raise AdaptorError(f"id {name!r} has a space, or is none: TREC's files can't hold it")
    lines = [
        f"{query} Q0 {document} {rank} {score:.7g} {tag}\n"
        for query, hits in run.items()
        for rank, (document, score) in enumerate(sorted(hits.items(), key=lambda hit: (-hit[1], hit[0])), 1)
    ]
    path.write_text("".join(lines))


def write_qrels(path: Path, judgments: Mapping[str, Mapping[str, int]]) -> None:
    """One line a judgment."""
    path.write_text("".join(f"{q} 0 {d} {grade}\n" for q, graded in judgments.items() for d, grade in graded.items()))


def _read(path: str, reader: Callable[[Any], Iterable[Any]], form: str) -> Sequence[Any]:
    try:
        with open(path) as file:
            lines = list(reader(file))
    except FileNotFoundError:
        raise AdaptorError(f"there is no file {path}") from None
    except (ValueError, IndexError, TypeError) as error:
        raise AdaptorError(f"{path} can't be read ({error}); its lines are `{form}`") from error
    if not lines:
        raise AdaptorError(f"{path} has no lines `{form}`")
    return lines
