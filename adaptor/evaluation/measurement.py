"""What one evaluation measured, query by query: the ground that verdicts, gates and recommendations stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from adaptor.artifact import version_of
from adaptor.errors import AdaptorError
from adaptor.evaluation.statistics import Difference, difference
from adaptor.layout import Encoding, bytes_of

Values = NDArray[np.float64]
ORIGINAL, TRUNCATION, SVD, ADAPTOR = "original", "truncation", "svd", "adaptor"
TAIL = 5  # the percentile of queries that stands for the worst of them


@dataclass(frozen=True, order=True)
class Variant:
    """One way to store and search the rows: a candidate's prefix, its encoding, and how many hits are rescored.

    Of `bits`, `dim` is the length of the code in bytes.
    """

    candidate: str  # original, truncation, svd, adaptor, or the name of a version
    dim: int
    encoding: Encoding = "float32"
    shortlist: int = 0  # hits that the full width puts in order afterwards; 0: none

    @property
    def bytes(self) -> int:
        """What a row takes."""
        return bytes_of(self.dim, self.encoding)

    @property
    def label(self) -> str:
        """The candidate with its encoding and its rescoring, but without its dim."""
        encoding = "" if self.encoding == "float32" else f"/{self.encoding}"
        return f"{self.candidate}{encoding}{f'+{self.shortlist} rescored' if self.shortlist else ''}"

    def __str__(self) -> str:
        rescored = f", {self.shortlist} hits rescored" if self.shortlist else ""
        return f"{self.candidate} {self.form}{rescored}"

    @property
    def numbers(self) -> int | None:
        """How many numbers a row has; None for a code, which has bits of many."""
        return None if self.encoding == "bits" else self.dim

    @property
    def form(self) -> str:
        """How a row is stored."""
        return f"code of {self.dim} bytes" if self.encoding == "bits" else f"{self.dim} {self.encoding}"


@dataclass(frozen=True)
class Measurement:
    """Values by variant, metric and query, with what they were measured on.

    `values[variant][metric] (q,)` are in the order of `queries`, NaN where a query has none. `strata (q,)` are the
    queries' labels, where there are any. `search_seconds` is what a query costs a million rows, measured here in NumPy.
    """

    data_set: str
    fingerprint: str  # of the artifact
    made_by: str  # the fit's candidate that ships in it
    width: int
    dims: tuple[int, ...]
    encoding: Encoding  # that of the target, or float32
    metric: str  # the one that leads
    rows: int
    queries: tuple[str, ...]
    values: Mapping[Variant, Mapping[str, Values]]
    strata: tuple[str, ...] | None = None
    search_seconds: Mapping[Variant, float] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The artifact's, among its versions."""
        return version_of(self.fingerprint)

    @property
    def full(self) -> Variant:
        """The original at its full width."""
        return Variant(ORIGINAL, self.width)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What was measured, the metric that leads first."""
        return tuple(sorted(self.values[self.full], key=lambda name: name != self.metric))

    def shipped(self, dim: int) -> Variant:
        """The adaptor's prefix as the target holds it; where that holds codes, which have other lengths, as float32."""
        return Variant(ADAPTOR, dim, "float32" if self.encoding == "bits" else self.encoding)

    @property
    def stored_bytes(self) -> int:
        """What the longest prefix or code of the target takes in a row."""
        shipped = (v for v in self.values if (v.candidate, v.encoding, v.shortlist) == (ADAPTOR, self.encoding, 0))
        return max((variant.bytes for variant in shipped), default=self.full.bytes)

    def of(self, variant: Variant, metric: str | None = None) -> Values:
        """Values of each query, of the metric that leads unless another is named."""
        try:
            return self.values[variant][metric or self.metric]
        except KeyError:
            raise AdaptorError(f"{metric or self.metric} of {variant} was not measured on {self.data_set}") from None

    @cached_property
    def parts(self) -> dict[str | None, NDArray[np.bool_]]:
        """Which queries belong to each stratum; those of None are all."""
        labels = np.array(self.strata or (), dtype=object)
        return {None: self._part(None)} | {label: labels == label for label in sorted(set(self.strata or ()))}

    def _part(self, stratum: str | None) -> NDArray[np.bool_]:
        """Those of all without a look at the strata, of which there may be very many."""
        return np.ones(len(self.queries), dtype=bool) if stratum is None else self.parts[stratum]

    def mean(self, variant: Variant, metric: str | None = None, stratum: str | None = None) -> float:
        """The mean over queries that have a value; NaN where none has."""
        values = self.of(variant, metric)[self._part(stratum)]
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else float("nan")

    def tail(self, variant: Variant, metric: str | None = None) -> float:
        """The 5th percentile over queries that have a value; NaN where none has."""
        values = self.of(variant, metric)
        values = values[~np.isnan(values)]
        return float(np.percentile(values, TAIL)) if len(values) else float("nan")

    def worst_stratum(self, variant: Variant, metric: str | None = None) -> tuple[str, float] | None:
        """The stratum that keeps least of its own full width, and what it has; None without strata."""
        shares = {
            label: self.mean(variant, metric, label) / full
            for label in self.parts
            if label is not None and (full := self.mean(self.full, metric, label)) > 0
        }
        if not shares:
            return None
        worst = min(shares, key=lambda label: shares[label])
        return worst, self.mean(variant, metric, worst)

    def retention(self, variant: Variant, stratum: str | None = None) -> float:
        """The share of the full width's figure that is kept; NaN where the full width has none."""
        full = self.mean(self.full, None, stratum)
        return self.mean(variant, None, stratum) / full if full else float("nan")

    def gain(self, variant: Variant, against: Variant, stratum: str | None = None) -> Difference:
        """What a variant is ahead of another by the metric that leads, query by query."""
        part = self._part(stratum)
        return difference(self.of(variant)[part], self.of(against)[part])


def require_different(measurements: Sequence[Measurement]) -> None:
    """`AdaptorError` where one artifact was measured twice on a data set, or a data set's name means two things."""
    for one, other in combinations(measurements, 2):
        if one.data_set != other.data_set:
            continue
        if (other.rows, other.width) != (one.rows, one.width):
            raise AdaptorError(
                f"two configs call their data set {one.data_set!r}, one of {one.rows} rows of width {one.width}, "
                f"one of {other.rows} of width {other.width}; give each a name of its own"
            )
        if other.version == one.version and other.encoding == one.encoding:
            raise AdaptorError(
                f"two configs evaluate artifact {one.version} on data set {one.data_set!r}: leave one out"
            )
