"""Measurements made by hand: what each variant keeps is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from adaptor.evaluation.measurement import ADAPTOR, SVD, Measurement, Variant

QUERIES = 200
FULL = np.random.default_rng(0).uniform(0.4, 1.0, QUERIES)


def measurement(
    kept: Mapping[int, float],
    data_set: str = "hand",
    fingerprint: str = "a" * 64,
    strata: Sequence[str] | None = None,
    noise: float = 0.02,
) -> Measurement:
    """One of width 64 in which the adaptor keeps a share of each query's value at each dim, SVD .05 less."""
    random = np.random.default_rng(len(kept))

    def values(share: float) -> dict[str, np.ndarray]:
        near = FULL * share + noise * random.standard_normal(QUERIES)
        return {"nDCG@10": near, "neighbours@10": near / 2}

    by_variant = {Variant("original", 64): {"nDCG@10": FULL.copy(), "neighbours@10": FULL / 2}}
    for dim, share in kept.items():
        by_variant |= {
            Variant(ADAPTOR, dim): values(share),
            Variant(SVD, dim): values(share - 0.05),
            Variant(ADAPTOR, dim, "int8"): values(share - 0.002),
            Variant(ADAPTOR, dim, "int8", 200): values(0.999),
        }
    return Measurement(
        data_set=data_set,
        fingerprint=fingerprint,
        made_by="trained",
        width=64,
        dims=tuple(kept),
        encoding="float32",
        metric="nDCG@10",
        rows=1_000_000,
        queries=tuple(f"q{number}" for number in range(QUERIES)),
        values=by_variant,
        strata=None if strata is None else tuple(strata),
        search_seconds={Variant(ADAPTOR, dim): dim / 1e3 for dim in kept},
    )


def with_a_bad_stratum(one: Measurement, label: str, share: float) -> Measurement:
    """The same where the adaptor keeps less of one stratum."""
    part = one.parts[label]
    values = {variant: dict(by_metric) for variant, by_metric in one.values.items()}
    for variant, by_metric in values.items():
        if variant.candidate == ADAPTOR:
            by_metric["nDCG@10"] = np.where(part, share * FULL, by_metric["nDCG@10"])
    return replace(one, values=values)
