"""The stamp of a target: what its table properties, and every commit of apply, say of where its rows come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from adaptor.layout import Encoding, Layout
from adaptor.release.table_stamp import FINGERPRINT

PREFIX = "matryoshka."
SOURCE, VERSION = f"{PREFIX}source", f"{PREFIX}source_version"
DIMS, LAYOUT, ENCODING = f"{PREFIX}dims", f"{PREFIX}layout", f"{PREFIX}encoding"
KEY, SOURCE_COLUMNS = f"{PREFIX}key", f"{PREFIX}source_columns"
BUILD, CHUNK_BYTES, OVER, ABANDONED = (f"{PREFIX}{name}" for name in ("build", "chunk_bytes", "over", "abandoned"))
"""Properties of a build, which a stamp does not hold: its id, the size of its chunks, what the target held when it
began, and whether it was given up. Only the first stays in the target."""


@dataclass(frozen=True)
class Stamp:
    """Which artifact made a target's rows, of which source, and in which form."""

    fingerprint: str
    source: str
    version: int | None  # of the source; None where it has none
    dims: tuple[int, ...]
    layout: Layout
    encoding: Encoding
    key: str | None = None  # `Request.key`; None in the metadata of a commit
    source_columns: tuple[str, ...] | None = None  # that the source had at that version; None in a commit too

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> Stamp | None:
        """The stamp among a table's properties; None where no apply has finished there.

        A target that says nothing of its layout and encoding is from when there was one of each.
        """
        if FINGERPRINT not in properties or SOURCE not in properties:
            return None
        version, columns = properties.get(VERSION, "None"), properties.get(SOURCE_COLUMNS)
        return cls(
            properties[FINGERPRINT],
            properties[SOURCE],
            None if version == "None" else int(version),
            tuple(json.loads(properties.get(DIMS, "[]"))),
            cast(Layout, properties.get(LAYOUT, "columns")),
            cast(Encoding, properties.get(ENCODING, "float32")),
            properties.get(KEY),
            None if columns is None else tuple(json.loads(columns)),
        )

    def to_properties(self) -> dict[str, str]:
        """As table properties, without what is None."""
        said = {
            FINGERPRINT: self.fingerprint,
            SOURCE: self.source,
            VERSION: str(self.version),
            DIMS: json.dumps(self.dims),
            LAYOUT: self.layout,
            ENCODING: self.encoding,
        }
        if self.key is not None:
            said[KEY] = self.key
        if self.source_columns is not None:
            said[SOURCE_COLUMNS] = json.dumps(self.source_columns)
        return said


def is_ours(properties: Mapping[str, str]) -> bool:
    """Whether apply wrote this table, or claimed its name before it wrote the first row."""
    return SOURCE in properties
