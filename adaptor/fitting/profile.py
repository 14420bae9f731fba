"""What a fit's own rows look like, kept beside the versions: the measure for whatever comes later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from adaptor.errors import AdaptorError
from adaptor.maps import Map
from adaptor.storage import open_folder, write_whole
from adaptor.vectors import Float32

PROFILES = "profiles"
ROWS = 2000


@dataclass(frozen=True)
class Profile:
    """Rows that a fit held out, as they are and as the map of the other rows adapts them; its queries and bad rows.

    `rows (h, D)`; `mapped (h, K)`, K the longest dim, by a map that has not seen them, as the fit's map has not seen
    what comes later; `lengths (h,)` of the whole mapped rows; `strata (h,)` and `queries (q, D)` where it had some.
    """

    rows: Float32
    mapped: Float32
    lengths: Float32
    strata: tuple[str, ...] | None
    queries: Float32 | None
    bad_share: float
    sampled: int  # rows, good and bad, that the share is of

    @classmethod
    def of(
        cls, rows: Float32, unseen: Map, deepest: int, strata: Sequence[str] | None, queries: Float32 | None
    ) -> Profile:
        """Of held-out rows and a map that has not seen them, without bad rows; `ROWS` rows and queries at most."""
        asked = None if queries is None or not len(queries) else queries[:ROWS]
        mapped = unseen(rows[:ROWS])
        labels = None if strata is None else tuple(str(label) for label in strata[:ROWS])
        lengths = np.linalg.norm(mapped, axis=1)
        return cls(rows[:ROWS], mapped[:, :deepest], lengths, labels, asked, 0.0, len(rows))

    def save(self, root: str, version: str) -> None:
        """Write it for a version of the artifact in `root`."""
        tensors = {"rows": self.rows, "mapped": self.mapped, "lengths": self.lengths}
        tensors |= {} if self.queries is None else {"queries": self.queries}
        described = {"strata": self.strata, "bad_share": self.bad_share, "sampled": self.sampled}
        content = save(
            {name: np.ascontiguousarray(x) for name, x in tensors.items()}, {"profile": json.dumps(described)}
        )
        write_whole(root, f"{PROFILES}/{version}.safetensors", content)

    @classmethod
    def load(cls, root: str, version: str) -> Profile:
        """That of a version; `AdaptorError` where its fit left none."""
        fs, folder = open_folder(root)
        path = f"{folder}/{PROFILES}/{version}.safetensors"
        if not fs.exists(path):
            raise AdaptorError(f"{root} has no profile of version {version}: fit it again with jobs/fit.py to have one")
        content = fs.cat_file(path)
        try:
            tensors = load(content)
            length = int.from_bytes(content[:8], "little")
            described = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["profile"])
        except (SafetensorError, ValueError, KeyError) as error:
            raise AdaptorError(f"{path} is damaged ({error}); fit again") from error
        strata = None if described["strata"] is None else tuple(described["strata"])
        return cls(**({"queries": None} | tensors | described | {"strata": strata}))
