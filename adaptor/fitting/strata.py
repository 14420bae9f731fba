"""Strata, such as languages or tenants: a sample takes as much of each, and each is reported apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptor.errors import AdaptorError
from adaptor.fitting.judge import Judge
from adaptor.fitting.report import StratumScore
from adaptor.maps import Sides
from adaptor.vectors import Float32

Labels = NDArray[np.object_]
"""The stratum of each row, `(n,)` of str."""

NO_STRATUM = "(null)"  # rows without a stratum are one of their own
MOST_STRATA = 1000  # as many as there are held-out rows


def as_labels(strata: object, rows: int) -> Labels:
    """`strata`, one value a row, as labels; what is None, NaN, NaT, NA or masked becomes `NO_STRATUM`.

    Raises `AdaptorError` when there are more or fewer than `rows`, or too many different ones.
    """
    values = _values(strata)
    if values.shape != (rows,):
        raise AdaptorError(f"strata must be one label a row: {rows} rows, but strata of shape {values.shape}")
    labels = np.array([NO_STRATUM if _is_null(s) else str(s) for s in values], dtype=object)
    check_count(len(set(labels)), "strata")
    return labels


def _values(strata: Any) -> NDArray[np.object_]:
    """Whatever holds labels, as an array of them."""
    for listed in ("to_pylist", "detach"):  # Arrow's arrays and torch's tensors know best what they hold
        if hasattr(strata, listed):
            strata = getattr(strata, listed)()
            strata = strata if isinstance(strata, list) else strata.tolist()
    if not isinstance(strata, np.ndarray):
        return np.asarray(strata, dtype=object)
    data = np.asarray(strata)
    missing: NDArray[np.bool_] = np.ma.getmaskarray(strata)  # type: ignore[no-untyped-call]
    if data.dtype.kind in "mM":  # whose nanoseconds would become numbers
        missing, data = missing | np.isnat(data), data.astype(str)
    labels = data.astype(object)
    labels[missing] = None
    return labels


def _is_null(label: Any) -> bool:
    if label is None or label is np.ma.masked or type(label).__name__ == "NAType":
        return True
    return bool(label != label)


def check_count(strata: int, where: str) -> None:
    """`AdaptorError` when there are more strata than a report can hold apart."""
    if strata > MOST_STRATA:
        raise AdaptorError(f"{where}: more than {MOST_STRATA} strata; each needs held-out rows: name a coarser column")


def quotas(counts: Mapping[str, int], rows: int) -> dict[str, int]:
    """How many of `rows` each stratum gives: all the same, but small ones all they have and the others the rest."""
    left, given = rows, {}
    for place, name in enumerate(sorted(counts, key=lambda name: (counts[name], name))):
        given[name] = min(counts[name], left // (len(counts) - place))
        left -= given[name]
    return given


def hold_out(labels: Labels, order: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Which rows are held out: of each stratum the first in `order`, `share` of it, one at least: `(n,) bool`.

    A stratum of a single row is left to training.
    """
    held = np.zeros(len(labels), dtype=bool)
    ordered = labels[order]
    for label in sorted(set(labels)):
        rows = order[ordered == label]
        held[rows[: max(int(share * len(rows)), int(len(rows) > 1))]] = True
    return held


def kept_by_stratum(
    judge: Judge, labels: Labels, candidates: Mapping[str, Sides], corpus: Float32
) -> dict[str, StratumScore]:
    """What `candidates` keep of each stratum's held-out rows.

    `labels (h,)` are those of the judge's rows; neighbours are looked for among all of `corpus (n, D)`.
    """
    report: dict[str, StratumScore] = {}
    for label in sorted(set(labels)):
        part = judge.part(labels == label)
        kept = {name: part.kept(sides, corpus) for name, sides in candidates.items()}
        report[label] = StratumScore(len(part.rows), kept)
    return report
