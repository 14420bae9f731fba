"""The closed forms: each a function from a sample to the maps of both sides.

They are the honest baselines, the starts of training, and sometimes the winners. Where only moments of a corpus count,
those of more rows than the sample's will do.
"""

from __future__ import annotations

import numpy as np

from adaptor.fitting.moments import Corpus, Float64, Moments, Rows, known_of, signs_of
from adaptor.maps import Map, Residual, Sides
from adaptor.metrics import nearest
from adaptor.vectors import Float32, normalise

MEAN_LEAST, MEAN_PRIOR = 0.5, 40  # share of each side's mean that is taken off at least; times q / (q + prior)
MOMENT_PRIOR = 400  # the corpus's second moment weighs as much as this many queries
FEW_PRIOR = 250  # the same, where a few queries move a map
HUB_ROWS, DAMPING_ROWS = 10_000, 3_000  # rows searched for hubs: of each side, and of the corpus in itself
CUTOFF = 1e-6  # eigenvalues under this share of the largest count as zero
TEMPER_LEAST, TEMPER_MOST, TEMPER_KNEE = 0.05, 0.40, 3.0


def truncation(corpus: Float32) -> Sides:
    """The embedding as it is: right for embedders that were trained to be nested. `corpus (n, D)`."""
    return Sides(Map(np.eye(corpus.shape[1], dtype=np.float32)))


def svd(corpus: Corpus) -> Sides:
    """The uncentred SVD's right singular vectors, strongest first: a rotation of `corpus (n, D)`, or by its moments.

    Orthogonal, so the full width keeps every similarity; the prefix of length m is the best
    rank-m approximation of the sample.
    """
    return Sides(Map(known_of(corpus).unit().directions()))


def pca(corpus: Corpus) -> Sides:
    """Centred PCA: the mean of `corpus (n, D)`, or by its moments, is taken off both sides first."""
    unit = known_of(corpus).unit()
    mean = unit.mean
    weight = unit.less(mean).directions()
    return Sides(Map(weight, bias=(-mean @ weight).astype(np.float32)))


def tempered_svd(corpus: Float32) -> Sides:
    """The SVD with its strongest directions damped as far as the corpus has hubs: see `temper`."""
    return temper(svd(corpus), corpus, damping(corpus))


def damping(corpus: Float32) -> float:
    """How strongly `temper` damps: the more, the more of the hubs of `corpus (n, D)` its mean makes."""
    unit = normalise(corpus[:: -(-len(corpus) // DAMPING_ROWS)])
    return TEMPER_LEAST + (TEMPER_MOST - TEMPER_LEAST) * mean_made_hubs(unit, unit, itself=True)


def temper(sides: Sides, corpus: Corpus, strength: float) -> Sides:
    """Damp the coordinates that all rows share: `(1 + e / 3) ** -a`, e a coordinate's relative energy.

    Directions common to all rows make hubs, rows that are everyone's neighbour, and take up
    room in a short prefix. The strength `a` is `damping`'s: damping changes the full-width
    similarities, so agreement with them can't choose it. Moments tell the energies of linear maps alone.
    """
    energies = known_of(corpus).through(sides.corpus).unit().energies
    energy = energies * len(energies)
    gain = ((1 + energy / TEMPER_KNEE) ** -strength).astype(np.float32)
    side = sides.corpus
    return Sides(
        Map(
            side.weight * gain,
            None if side.bias is None else side.bias * gain,
            None
            if side.residual is None
            else Residual(side.residual.hidden, side.residual.hidden_bias, side.residual.out * gain),
        )
    )


def mean_made_hubs(corpus: Float32, queries: Float32, itself: bool = False) -> float:
    """The share of the hubs that goes when both sides lose their mean: 0 to 1. `corpus (n, D)`, `queries (q, D)`.

    Where it is near 1 the mean hides what tells rows apart; where it is near 0 the mean is worth
    keeping. It is what tells centring that helps from centring that harms, without labels.
    """
    before = hub_skew(corpus, queries, itself)
    after = hub_skew(normalise(corpus - corpus.mean(axis=0)), normalise(queries - queries.mean(axis=0)), itself)
    return float(np.clip(1 - after / before, 0, 1)) if before > 0 else 0.0


def hub_skew(corpus: Float32, queries: Float32, itself: bool = False) -> float:
    """Skewness of how often each row of `corpus` is among the 10 nearest of `queries`; 0 without hubs.

    With `itself`, both are the same rows, and a row is no neighbour of its own.
    """
    k = min(10, len(corpus) - 1)
    neighbours = nearest(queries, corpus, k, skip=np.arange(len(queries)) if itself else None)
    count = np.bincount(neighbours.ravel(), minlength=len(corpus)).astype(np.float64)
    spread = count.std()
    return float((((count - count.mean()) / spread) ** 3).mean()) if spread else 0.0


def query_aware_svd(corpus: Float32, queries: Float32, moments: Moments | None = None) -> Sides:
    """The best rank-m fit of every `query . document` at once, from the second moments of both sides.

    With moments Cx and Cq, `U s V' = svd(Cq^1/2 Cx^1/2)`, corpus map `Cx^-1/2 V s^1/2`, query map
    `Cq^-1/2 U s^1/2`. From half to all of each side's mean is taken off first, as far as it makes
    hubs of what queries find; and Cq is drawn toward Cx. Fewer queries change less.
    `corpus (n, D)`, `queries (q, D)`; `moments` stand for those of the corpus, whose rows then only tell its hubs.
    Not orthogonal: full-width similarities change a little.
    """
    return _two_sided(normalise(corpus), normalise(queries), weight_of_log(queries), moments)


def query_aware(base: Map, corpus: Float32, queries: Float32, moments: Moments | None = None) -> Sides:
    """The same of what `base` makes of both sides, and `base`, as one map a side.

    So a few queries move a map that the corpus alone has made, the less the fewer they are, instead of making one anew.
    Their moment is mostly noise: it weighs with the square of their number. `moments` stand for those of the corpus
    where `base` is linear.
    """
    weight = len(queries) ** 2 / (len(queries) ** 2 + FEW_PRIOR**2)
    moved = _two_sided(base(corpus), base(queries), weight, moments and moments.through(base))
    return Sides(_after(base, moved.corpus), _after(base, moved.query))


def _after(base: Map, affine: Map) -> Map:
    """`affine` of what `base` gives, as it is."""
    assert affine.bias is not None
    residual = base.residual
    if residual is not None:
        residual = Residual(residual.hidden, residual.hidden_bias, residual.out @ affine.weight)
    bias = affine.bias if base.bias is None else base.bias @ affine.weight + affine.bias
    return Map(base.weight @ affine.weight, bias, residual)


def _two_sided(corpus: Float32, queries: Float32, weight: float, moments: Moments | None) -> Sides:
    """The maps of `query_aware_svd`, for rows as they are; the queries' own moment has this weight beside Cx."""
    count, rows, asked = len(queries), moments or Rows(corpus), Rows(queries)
    hubs = mean_made_hubs(normalise(corpus[:HUB_ROWS]), normalise(queries[:HUB_ROWS]))
    share = (MEAN_LEAST + (1 - MEAN_LEAST) * hubs) * count / (count + MEAN_PRIOR)
    offsets = share * rows.mean, share * asked.mean
    basis = None if moments else _span(corpus, queries)
    moment = rows.less(offsets[0]).unit().moment(basis)
    query_moment = weight * asked.less(offsets[1]).unit().moment(basis) + (1 - weight) * moment
    weights = factored(query_moment, power(moment, 0.5), power(moment, -0.5), basis)
    return Sides(*(_affine(weight, offset, basis) for weight, offset in zip(weights, offsets)))


def weight_of_log(queries: Float32) -> float:
    """What the second moment of `queries (q, D)` weighs beside that of rows, 0 to 1: the less the fewer they are."""
    return len(queries) / (len(queries) + MOMENT_PRIOR)


def factored(
    query_moment: Float64, between: Float64, inverse_root: Float64, basis: Float64 | None = None
) -> tuple[Float64, Float64]:
    """The weights of corpus and query maps: their first m numbers are, for every m, the best rank-m fit of scores.

    `U s V' = svd(Cq^1/2 between)`, `between` what whitened rows are to queries: corpus `Cx^-1/2 V s^1/2`, query
    `Cq^-1/2 U s^1/2`. Signs are those of the corpus side, in the numbers of a `basis` lifted from it.
    """
    u, s, vt = np.linalg.svd(power(query_moment, 0.5) @ between, full_matrices=False)
    # The same sign convention on both sides, so that equal samples give equal maps.
    signs = signs_of(vt.T if basis is None else basis @ vt.T)
    return inverse_root @ vt.T * signs * s**0.5, power(query_moment, -0.5) @ u * signs * s**0.5


def _span(corpus: Float32, queries: Float32) -> Float64 | None:
    """An orthonormal basis `(D, r)` of all rows of both sides; None where there are no fewer rows than numbers.

    Outside of it both moments are zero, so all that they say can be found in r numbers.
    """
    rows = np.concatenate([corpus, queries])
    return np.linalg.qr(rows.T.astype(np.float64))[0] if len(rows) < rows.shape[1] else None


def _affine(weight: Float64, offset: Float32 | Float64, basis: Float64 | None) -> Map:
    """The map; `weight (r, r)` in the numbers of a `basis (D, r)` is lifted to `(D, D)`, the rest of it zero."""
    if basis is not None:
        width, rank = basis.shape
        weight = np.pad((basis @ weight).astype(np.float32), ((0, 0), (0, width - rank)))
    return Map(np.ascontiguousarray(weight, dtype=np.float32), (-offset @ weight).astype(np.float32))


def power(moment: Float64, exponent: float) -> Float64:
    """A symmetric moment to a power on its support, zero elsewhere."""
    values, vectors = np.linalg.eigh(moment)
    above_cutoff = values > CUTOFF * values[-1]
    return (vectors[:, above_cutoff] * values[above_cutoff] ** exponent) @ vectors[:, above_cutoff].T
