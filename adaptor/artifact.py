"""A fitted adaptor: what it is, how it is saved, loaded and used. NumPy alone, no Spark, no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from adaptor.bits import Cells
from adaptor.codecs import BinaryCodec, Codec, Int8Codec, PlainCodec
from adaptor.errors import AdaptorError
from adaptor.inputs import as_reals
from adaptor.layout import Encoding, usual_lengths
from adaptor.maps import Map
from adaptor.storage import open_folder, write_whole
from adaptor.vectors import SHORTEST, Float32, as_embeddings, check_dims, require_width, without_direction

FORMAT = 1
Side = Literal["corpus", "query"]
Bad = Literal["raise", "null"]


def version_of(fingerprint: str) -> str:
    """What a version with this fingerprint is called."""
    return fingerprint[:12]


@dataclass(frozen=True, repr=False)
class Adaptor:
    """A map for each side, the dims it was fitted for, and where it came from.

    `query` is None where queries go through the corpus map. `config` is what the fit was asked
    for and counts towards the fingerprint; `metrics` is what it measured and does not.
    `int8_scales (K,)` and `cells` are those of the corpus map's numbers; a map made by hand has none.
    """

    corpus: Map
    dims: tuple[int, ...]
    query: Map | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    int8_scales: Float32 | None = None
    cells: Cells | None = None

    def __post_init__(self) -> None:
        check_dims(self.dims, self.corpus.out_width)

    def __repr__(self) -> str:
        dims = "+".join(map(str, self.dims))
        maker = self.config.get("candidate", "made by hand")
        return f"Adaptor({self.width} to {dims}, {maker}, fingerprint {self.version})"

    @property
    def width(self) -> int:
        """D, the width of the embeddings it takes."""
        return self.corpus.width

    def map(self, side: Side = "corpus") -> Map:
        """The map that rows of this side go through."""
        if side not in ("corpus", "query"):
            raise AdaptorError(f"side {side!r} is unknown: it is 'corpus' or 'query'")
        return self.query if side == "query" and self.query is not None else self.corpus

    def encode(self, x: npt.ArrayLike, *, dim: int | None = None, side: Side = "corpus", bad: Bad = "raise") -> Float32:
        """Adapt embeddings `x`, `(n, D)`, to `(n, dim) float32` of length 1; one of them, `(D,)`, to `(dim,)`.

        `dim` is D by default. Any `dim` up to the full width works; those in `dims` are the ones that
        were judged. Rows without a direction, as they come or in their first `dim` numbers, raise
        `AdaptorError`; with `bad="null"` they become rows of NaN, as they are null in SQL. Another width,
        and what is no row of numbers at all, always raises.
        """
        if bad not in ("raise", "null"):
            raise AdaptorError(f"bad is {bad!r}; it is 'raise' or 'null'")
        chosen = self.map(side)
        dim = chosen.out_width if dim is None else check_dims([dim], chosen.out_width)[0]
        numbers = as_reals(x, "embeddings")
        rows = numbers[None] if numbers.ndim == 1 and len(numbers) else numbers
        if bad == "raise":
            y = self._encoded(as_embeddings(rows, width=chosen.width), chosen, dim)
        else:
            good = ~without_direction(require_width(rows, "embeddings", chosen.width))
            y = np.full((len(rows), dim), np.nan, np.float32)
            mapped = chosen(rows[good], dim)
            lengths = np.linalg.norm(mapped, axis=1, keepdims=True)
            y[good] = np.divide(mapped, lengths, out=np.full_like(mapped, np.nan), where=lengths >= SHORTEST)
        return y if rows is numbers else y[0]

    @staticmethod
    def _encoded(rows: Float32, chosen: Map, dim: int) -> Float32:
        """Rows that all have a direction, if they still have one at `dim`."""
        y = chosen(rows, dim)
        lengths = np.linalg.norm(y, axis=1, keepdims=True)
        zero = np.flatnonzero(lengths < SHORTEST)
        if len(zero):
            raise AdaptorError(
                f"embeddings: {len(zero)} of {len(y)} rows are zero at dim {dim} (the first is row {zero[0]}): "
                "their first numbers have no direction; ask for a wider dim, or remove them"
            )
        return y / lengths

    def int8_codec(self, side: Side = "corpus") -> Int8Codec:
        """The codec of this artifact's mapped rows; its first m scales are those of a prefix.

        Raises `AdaptorError` for queries, which stay float32, and for an artifact without scales.
        """
        if side == "query":
            raise AdaptorError("int8 is for the corpus side, its scales were fitted there; queries stay float32")
        if self.int8_scales is None:
            raise AdaptorError("the artifact has no int8 scales: fit again, or ask for another encoding")
        return Int8Codec(self.int8_scales)

    def codec(self, encoding: Encoding, length: int) -> Codec:
        """The codec of mapped rows of the corpus side: of `length` numbers, or with `bits` bytes.

        Raises `AdaptorError` for an artifact that lacks what the encoding needs.
        """
        if encoding == "float32":
            return PlainCodec(length)
        if encoding == "binary":
            return BinaryCodec(length)
        if encoding == "int8":
            return Int8Codec(self.int8_codec().scales[:length])
        if self.cells is None:
            raise AdaptorError("the artifact has no cells to cut bits by: fit again, or ask for another encoding")
        return self.cells.codec(length)

    def lengths(self, encoding: Encoding) -> tuple[int, ...]:
        """What a table in this encoding has where nothing else is asked for: the dims, or lengths of codes in bytes."""
        return usual_lengths(self.width) if encoding == "bits" else self.dims

    def encode_code(self, x: npt.ArrayLike, *, length: int) -> NDArray[np.uint8]:
        """Codes `(n, length) uint8` of embeddings `x (n, D)`; the first m bytes of one are the code of m bytes.

        Compare them with whole mapped queries: `codec("bits", m).score(map("query")(q), codes)`. Raises `AdaptorError`
        for rows without a direction.
        """
        codec = self.codec("bits", length)
        mapped = self.corpus(as_embeddings(x, width=self.width), codec.width)
        return np.asarray(codec.encode(mapped))

    def tensors(self) -> dict[str, Float32]:
        """Every weight by name: `corpus.weight`, `query.weight`, `int8.scales`, ..."""
        sides = {"corpus": self.corpus} | ({"query": self.query} if self.query is not None else {})
        parts = {
            f"{side}.{name}": value for side, side_map in sides.items() for name, value in side_map.tensors().items()
        }
        parts |= {} if self.int8_scales is None else {"int8.scales": self.int8_scales}
        return parts if self.cells is None else parts | self.cells.tensors()

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights and the config: the same fit gives the same fingerprint."""
        digest = hashlib.sha256(_json(self._stored_config()).encode())
        for name, value in sorted(self.tensors().items()):
            digest.update(f"{name}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value, "<f4").data)
        return digest.hexdigest()

    @property
    def version(self) -> str:
        """The name of its folder among the versions of an artifact."""
        return version_of(self.fingerprint)

    def _stored_config(self) -> dict[str, Any]:
        return {"format": FORMAT, "width": self.width, "dims": list(self.dims), "fit": dict(self.config)}

    def save(self, path: str, card: str = "") -> None:
        """Write the artifact's folder at `path` (local or any fsspec URL), config.json last.

        A folder without config.json is no artifact, so a killed save leaves nothing to load.
        Raises `AdaptorError` when another artifact is already there; the same one is left alone.
        """
        fs, root = open_folder(path)
        if fs.exists(f"{root}/config.json"):
            if Adaptor.load(path).fingerprint != self.fingerprint:
                raise AdaptorError(f"{path} already holds another artifact; choose another folder")
            return
        fs.makedirs(root, exist_ok=True)
        # Whole, each: a fit that came to the same artifact may be read while this one writes it again.
        write_whole(path, "model.safetensors", save_tensors(self.tensors()))
        write_whole(path, "metrics.json", _json(dict(self.metrics)).encode())
        write_whole(path, "README.md", card.encode())
        config = self._stored_config() | {"fingerprint": self.fingerprint}
        write_whole(path, "config.json", _json(config).encode())

    @classmethod
    def load(cls, path: str, *, for_table: str | None = None) -> Adaptor:
        """Read an artifact's folder, or the version that `current.json` in `path` names.

        With `for_table`, the folder of a Delta table, it is the version that wrote the table, whichever is
        current: queries that it encodes fit the rows there. Raises `AdaptorError` when there is none, or when
        its weights are not those it was saved with.
        """
        if for_table is not None:
            from adaptor.release.table_stamp import fingerprint_of_table

            path = f"{path.rstrip('/')}/{version_of(fingerprint_of_table(for_table)[0])}"
        from adaptor.release.versions import Versions

        fs, root = open_folder(path)
        if (current := Versions(path).current) is not None:
            root = f"{root}/{current}"
        if not fs.exists(f"{root}/config.json"):
            raise AdaptorError(f"no artifact at {path}: it has no config.json; run jobs/fit.py to make one")
        try:
            config = json.loads(fs.cat_file(f"{root}/config.json"))
            if config.get("format") != FORMAT:
                parts = config.get("format")
                raise AdaptorError(f"the artifact at {path} has format {parts}, this version reads {FORMAT}")
            metrics = json.loads(fs.cat_file(f"{root}/metrics.json"))
            tensors = load_tensors(fs.cat_file(f"{root}/model.safetensors"))
        except (FileNotFoundError, SafetensorError, ValueError) as error:
            raise AdaptorError(f"the artifact at {path} is damaged ({error}); fit it again") from error
        sides: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
        for name, value in tensors.items():
            side, _, rest = name.partition(".")
            sides.setdefault(side, {})[rest] = value
        loaded = cls(
            corpus=Map.from_tensors(sides["corpus"]),
            query=Map.from_tensors(sides["query"]) if "query" in sides else None,
            dims=tuple(config["dims"]),
            config=config["fit"],
            metrics=metrics,
            int8_scales=sides["int8"]["scales"] if "int8" in sides else None,
            cells=Cells.from_tensors(sides["bits"]) if "bits" in sides else None,
        )
        if loaded.fingerprint != config["fingerprint"]:
            raise AdaptorError(f"the weights at {path} are not those it was saved with; fit it again")
        return loaded


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True)
