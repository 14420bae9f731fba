"""Codes searched as they are: half a byte of a code is one of 16 entries of a table that faiss reads in registers.

What a bit adds to a query's score does not depend on other bits, so codes that nest in bytes are to faiss a product
quantiser of 4 bits whose centroids are all signs, and its fast scan searches them without a code being decoded.
It rounds its tables to 8 bits and knows no row's length, so what it lists is scored again exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptor.bits import BitsCodec, Codes
from adaptor.errors import AdaptorError
from adaptor.vectors import Float32, require_width

LISTED = 10  # times the hits that are asked for: with fewer, hits are missed


class CodeIndex:
    """An index in memory of codes `(n, >= codec.bytes) uint8`, of which the first `codec.bytes` count.

    Raises `AdaptorError` where faiss is not installed, and for codes that are too short.
    """

    def __init__(self, codec: BitsCodec, codes: Codes) -> None:
        faiss = _faiss()
        if codes.ndim != 2 or codes.shape[1] < codec.bytes:
            raise AdaptorError(f"codes must be a matrix (rows, bytes) of {codec.bytes} bytes at least: {codes.shape}")
        self._codec = codec
        self._codes = np.ascontiguousarray(codes[:, : codec.bytes])
        signs = 2.0 * ((np.arange(16)[:, None] >> np.arange(3, -1, -1)) & 1) - 1  # (16, 4), the first bit highest
        bits = 8 * codec.bytes
        quantiser = faiss.IndexPQ(bits, bits // 4, 4, faiss.METRIC_INNER_PRODUCT)
        faiss.copy_array_to_vector(np.tile(signs.astype(np.float32), (bits // 4, 1)).ravel(), quantiser.pq.centroids)
        quantiser.is_trained = True
        quantiser.add_sa_codes(self._codes)
        self._index = faiss.IndexPQFastScan(quantiser)

    def search(self, queries: Float32, k: int, listed: int | None = None) -> tuple[Float32, NDArray[np.int64]]:
        """The `k` rows of highest score for each of the mapped queries `(q, >= width)`, best first.

        Scores `(q, k) float32`, those of `BitsCodec.score`, and row numbers `(q, k)`; k is cut to the rows there are.
        Of `listed` candidates, `LISTED` times k unless told, the exact scores decide.
        """
        require_width(queries[:, : self._codec.width], "mapped queries", self._codec.width)
        k = min(k, len(self._codes))
        listed = min(max(k, listed or LISTED * k), len(self._codes))
        weights = self._codec.weights(queries).reshape(len(queries), -1, 2, 4)
        # faiss counts the lower half of a byte as the first.
        _, rows = self._index.search(np.ascontiguousarray(weights[:, :, ::-1].reshape(len(queries), -1)), listed)
        scores = self._scores(queries, rows)
        best = np.lexsort((rows, -scores))[:, :k]
        return np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)

    def _scores(self, queries: Float32, rows: NDArray[np.int64]) -> Float32:
        """The exact scores of the rows `(q, listed)` that each query asks for; each row is decoded once."""
        different, places = np.unique(rows, return_inverse=True)
        vectors, width = self._codec.decode(self._codes[different]), self._codec.width
        scores = np.empty(rows.shape, np.float32)
        for number, of_query in enumerate(places.reshape(rows.shape)):
            scores[number] = vectors[of_query] @ queries[number, :width]
        return scores


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise AdaptorError(
            "CodeIndex needs faiss, which is not installed; pip install 'matryoshka-adaptor[search]'"
        ) from error
    return faiss
