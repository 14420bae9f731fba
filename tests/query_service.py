"""A query service, a process without Spark: it reads a Delta table and encodes with the map that wrote it.

python query_service.py ARTIFACT TABLE SOURCE.npy STOP    # says at its end what it met, as JSON
"""

import json
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq

from adaptor import Follower
from adaptor.release.table_stamp import fingerprint_of_table


def prefixes(table: Path, version: int) -> np.ndarray:
    """`embedding_8` of all rows of a version, in the order of their ids, by the log's own actions."""
    files: dict[str, None] = {}
    for number in range(version + 1):
        for line in (table / "_delta_log" / f"{number:020d}.json").read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                files[action["add"]["path"]] = None
            elif "remove" in action:
                files.pop(action["remove"]["path"], None)
    parts = [pq.read_table(table / unquote(file), columns=["id", "embedding_8"]) for file in files]
    rows = {row["id"]: row["embedding_8"] for part in parts for row in part.to_pylist()}
    return np.array([rows[name] for name in sorted(rows)], np.float32)


def main() -> None:
    artifact, table, source, stop = sys.argv[1:]
    embeddings, met, mistakes, looks = np.load(source), set(), [], 0
    follower = Follower(artifact, for_table=table)
    while not Path(stop).exists() or not looks:
        fingerprint, version = fingerprint_of_table(table)
        fitted = follower.current()
        if fitted.fingerprint == fingerprint:  # else the table has moved on between the two, and is asked again
            found = prefixes(Path(table), version)
            if not np.allclose(found, fitted.encode(embeddings, dim=8), atol=1e-5):
                mistakes.append((fitted.version, version))
            met.add(fitted.version)
            looks += 1
    print(json.dumps({"met": sorted(met), "mistakes": mistakes, "looks": looks}))


if __name__ == "__main__":
    main()
