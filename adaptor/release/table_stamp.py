"""Which artifact wrote a Delta table, by the table's log alone: JSON files, no Spark and no Arrow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from adaptor.errors import AdaptorError
from adaptor.storage import open_folder

FINGERPRINT = "matryoshka.fingerprint"
COMMIT = re.compile(r"^\d{20}\.json$")


def fingerprint_of_table(table: str) -> tuple[str, int]:
    """The fingerprint of the artifact that wrote the table in this folder, and the table's version now.

    Whoever reads rows at that version and encodes queries with that artifact meets rows and queries of one map.
    Raises `AdaptorError` where there is no such table, and where apply did not write it.
    """
    fs, folder = open_folder(table.rstrip("/"))
    log = f"{folder}/_delta_log"
    names = [path.rpartition("/")[2] for path in fs.ls(log, detail=False)] if fs.exists(log) else []
    versions = sorted((name[:20] for name in names if COMMIT.match(name)), reverse=True)
    if not versions:
        raise AdaptorError(f"there is no Delta table at {table}")
    for version in versions:
        for said in _said(fs, f"{log}/{version}"):
            if FINGERPRINT in said:
                return str(said[FINGERPRINT]), int(versions[0])
    raise AdaptorError(f"{table} is a table that apply did not write: its log names no artifact")


def _said(fs: Any, commit: str) -> Iterator[dict[str, Any]]:
    """What a commit says of the table: its properties, apply's own note, and the properties in its checksum file."""
    for line in fs.cat_file(f"{commit}.json").splitlines():
        action = json.loads(line)
        yield action.get("metaData", {}).get("configuration", {})
        note = action.get("commitInfo", {}).get("userMetadata")
        if note and FINGERPRINT in note:
            yield json.loads(note)
    if fs.exists(f"{commit}.crc"):
        yield json.loads(fs.cat_file(f"{commit}.crc")).get("metadata", {}).get("configuration", {})
