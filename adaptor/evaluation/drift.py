"""Do rows still look like those a fit has seen? Bands come from the fit's own rows, drawn again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptor.artifact import Adaptor, Side
from adaptor.fitting.profile import Profile
from adaptor.metrics import nearest, overlap
from adaptor.vectors import Float32, normalise, prefix

SPREADS = 4.5  # standard deviations of what the fit's own rows give: a dozen checks a night trip none for years
ROUNDING = 1e-3
DRAWS = 200
SPLITS = 12
FEWEST_OF_SPLITS, ROWS_OF_SPLITS = 100, 1300  # of which a quarter asks for neighbours among the others
FEWEST = 30  # rows that say anything
FOREIGN_SPREADS = 4  # below the mean of what the fit's own rows score: none of them, or hardly one
LISTED = 5  # ids that are named


@dataclass(frozen=True)
class Check:
    """One look: a figure of the new rows, and the band in which the fit's own rows lie."""

    name: str
    value: float
    low: float
    high: float
    says: str  # what it means where the figure is outside

    @property
    def is_alert(self) -> bool:
        """Whether the figure is outside the band, or no number."""
        return not self.low <= self.value <= self.high

    @property
    def sentence(self) -> str:
        """The figure, the band and what it means."""
        return f"{self.name} is {self.value:.4g}, outside {self.low:.4g} to {self.high:.4g}: {self.says}"


@dataclass(frozen=True)
class Foreign:
    """Rows unlike all that the fit has seen, as another model makes them: their share, and where the worst stand."""

    check: Check
    rows: NDArray[np.int64]


def look_at_rows(profile: Profile, fitted: Adaptor, rows: Float32) -> list[Check]:
    """Norms, mean, energy and what prefixes keep, of rows `(n, D)` beside those of the fit."""
    checks = [
        _mean_of("norm", np.linalg.norm(profile.rows, axis=1), np.linalg.norm(rows, axis=1), "lengths have changed"),
        _direction("mean direction", profile.rows, rows, "other things are embedded than before"),
    ]
    mine, new = _of_profile(profile, fitted.dims), energies(fitted, rows)
    for place, dim in enumerate(fitted.dims):
        says = "prefixes hold another share of the rows than they were fitted to"
        checks.append(_mean_of(f"energy at {dim}", mine[:, place], new[:, place], says))
    count = min(len(rows), len(profile.rows), ROWS_OF_SPLITS)
    if count >= FEWEST_OF_SPLITS:
        mapped = fitted.corpus(rows, fitted.dims[-1])
        checks += _overlaps((profile.rows, profile.mapped), (rows, mapped), count, fitted.dims)
    return checks


def look_at_queries(profile: Profile, fitted: Adaptor, queries: Float32) -> list[Check]:
    """The same of fresh queries, where the fit had some."""
    if profile.queries is None or min(len(queries), len(profile.queries)) < FEWEST:
        return []
    mine, new = energies(fitted, profile.queries, "query"), energies(fitted, queries, "query")
    says = "people ask for other things than the fit has seen"
    return [
        _direction("mean direction of queries", profile.queries, queries, says),
        *(
            _mean_of(f"energy of queries at {dim}", mine[:, place], new[:, place], says)
            for place, dim in enumerate(fitted.dims)
        ),
    ]


def look_at_strata(profile: Profile, rows: Float32, strata: Sequence[str]) -> list[Check]:
    """The mean direction of each stratum that both have."""
    if profile.strata is None:
        return []
    before, now = np.array(profile.strata, dtype=object), np.array(strata, dtype=object)
    labels = sorted(set(profile.strata) & set(strata))
    return [
        _direction(
            f"mean direction of stratum {label}", profile.rows[before == label], rows[now == label], "it was replaced"
        )
        for label in labels
        if min((before == label).sum(), (now == label).sum()) >= FEWEST
    ]


def look_for_foreign(profile: Profile, fitted: Adaptor, rows: Float32) -> Foreign:
    """Rows that are near none of the fit's, and whose first numbers hold as little of them as of no row of the fit."""
    itself = np.arange(len(profile.rows))
    mine, new = normalise(profile.rows), normalise(rows)
    own = _best_cosine(mine, mine, itself), _of_profile(profile, fitted.dims)[:, -1]
    fresh = _best_cosine(new, mine), energies(fitted, rows)[:, -1]
    centres, widths = [values.mean() for values in own], [max(float(values.std()), 1e-9) for values in own]
    scores = [
        sum((values - centre) / width for values, centre, width in zip(both, centres, widths)) for both in (own, fresh)
    ]
    limit = np.mean(scores[0]) - FOREIGN_SPREADS * np.std(scores[0])
    is_own, is_new = (np.asarray(score < limit) for score in scores)
    expected = (is_own.sum() + 1) / (len(is_own) + 1)
    high = max(expected + SPREADS * np.sqrt(expected / len(rows)), SPREADS**2 / len(rows))
    says = "they are of another model, or of a kind that the fit has not seen"
    check = Check("share of foreign rows", float(is_new.mean()), 0.0, high, says)
    order = np.argsort(scores[1])
    return Foreign(check, order[is_new[order]][:LISTED])


def look_at_share(name: str, before: float, of: int, now: float, count: int, says: str) -> Check:
    """A share of `count` rows beside one of `of` rows, by their binomial spreads; fewer is no alert."""
    floor = max(before, 1 / max(of, 1))
    spread = np.sqrt(floor * (1 - floor) * (1 / max(of, 1) + 1 / max(count, 1)))
    return Check(name, now, 0.0, float(before + SPREADS * spread), says)


def energies(fitted: Adaptor, rows: Float32, side: Side = "corpus") -> NDArray[np.float64]:
    """The share of a mapped row's squared length that each prefix holds: `(n, dims)`."""
    mapped = fitted.map(side)(rows)
    return _shares(mapped, np.linalg.norm(mapped, axis=1), fitted.dims)


def _of_profile(profile: Profile, dims: Sequence[int]) -> NDArray[np.float64]:
    return _shares(profile.mapped, profile.lengths, dims)


def _shares(mapped: Float32, lengths: Float32, dims: Sequence[int]) -> NDArray[np.float64]:
    squares = np.cumsum(mapped.astype(np.float64) ** 2, axis=1)[:, [dim - 1 for dim in dims]]
    return squares / np.maximum(lengths.astype(np.float64)[:, None] ** 2, np.finfo(np.float32).tiny)


def _best_cosine(rows: Float32, among: Float32, itself: NDArray[np.int64] | None = None) -> Float32:
    best = nearest(rows, among, 1, skip=itself)[:, 0]
    return np.einsum("ij,ij->i", rows, among[best])


def _mean_of(name: str, before: NDArray[np.floating], now: NDArray[np.floating], says: str) -> Check:
    low, high = _band(lambda drawn: before[drawn].mean(), len(before), len(now))
    return Check(name, float(now.mean()), low, high, says)


def _direction(name: str, before: Float32, now: Float32, says: str) -> Check:
    """How far apart the means of unit rows are."""
    unit = normalise(before).astype(np.float64)
    random = np.random.default_rng(0)

    def apart() -> float:
        one, two = (unit[random.integers(0, len(unit), count)].mean(axis=0) for count in (len(unit), len(now)))
        return float(np.linalg.norm(one - two))

    drawn = np.array([apart() for _ in range(DRAWS // 2)])
    value = float(np.linalg.norm(normalise(now).mean(axis=0) - unit.mean(axis=0)))
    return Check(name, value, 0.0, float(drawn.mean() + SPREADS * drawn.std()), says)


def _band(figure: Callable[[NDArray[np.int64]], float], rows: int, new: int) -> tuple[float, float]:
    """Where the figure of `new` rows of the fit lies, by drawing as many again and again, and all of them too."""
    random = np.random.default_rng(0)
    of_new = np.array([figure(random.integers(0, rows, new)) for _ in range(DRAWS)])
    of_all = np.array([figure(random.integers(0, rows, rows)) for _ in range(DRAWS)])
    spread = SPREADS * np.sqrt(of_new.var() + of_all.var())
    middle = figure(np.arange(rows))
    spread += ROUNDING * abs(middle)  # where all rows are alike, such as of length 1
    return float(middle - spread), float(middle + spread)


def _overlaps(
    before: tuple[Float32, Float32], now: tuple[Float32, Float32], count: int, dims: tuple[int, ...]
) -> list[Check]:
    """What prefixes keep of 10 neighbours, among `count` rows of a sample: `(n, D)` and, mapped, `(n, K)`."""
    random = np.random.default_rng(0)

    def kept(rows: Float32, mapped: Float32) -> list[float]:
        order = random.permutation(len(rows))[:count]
        asking, others = order[: count // 4], order[count // 4 :]
        original = nearest(normalise(rows[asking]), normalise(rows[others]), 10)
        return [
            float(overlap(nearest(prefix(mapped[asking], dim), prefix(mapped[others], dim), 10), original).mean())
            for dim in dims
        ]

    own = np.array([kept(*before) for _ in range(SPLITS)])
    new = np.array([kept(*now) for _ in range(SPLITS)])
    middle, spread = own.mean(axis=0), own.std(axis=0, ddof=1)
    return [
        Check(
            f"neighbours@10 kept at {dim}",
            float(new[:, place].mean()),
            float(middle[place] - SPREADS * spread[place]),
            1.0,
            "prefixes keep less of new rows than of those of the fit",
        )
        for place, dim in enumerate(dims)
    ]
