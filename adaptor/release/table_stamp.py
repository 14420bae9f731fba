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


def fingerprint_of_table(table: str, version: int | None = None) -> tuple[str, int]:
    """The fingerprint of the artifact that wrote the table in this folder, and the table's version: the latest one.

    Whoever reads rows at that version and encodes queries with that artifact meets rows and queries of one map.
    Raises `AdaptorError` where there is no such table, and where apply did not write it.
    """
    fs, folder = open_folder(table.rstrip("/"))
    log = f"{folder}/_delta_log"
    names = [path.rpartition("/")[2] for path in fs.ls(log, detail=False)] if fs.exists(log) else []
    commits = sorted((name for name in names if COMMIT.match(name)), reverse=True)
    commits = [name for name in commits if version is None or int(name[:20]) <= version]
    if not commits:
        raise AdaptorError(
            f"there is no Delta table at {table}" + ("" if version is None else f" in version {version}")
        )
    for commit in commits:
        for properties in _said(fs, f"{log}/{commit}"):
            if FINGERPRINT in properties:
                return str(properties[FINGERPRINT]), int(commits[0][:20])
        checksum = f"{log}/{commit[:20]}.crc"
        if fs.exists(checksum):  # it repeats all that the table says of itself
            properties = json.loads(fs.cat_file(checksum)).get("metadata", {}).get("configuration", {})
            if FINGERPRINT in properties:
                return str(properties[FINGERPRINT]), int(commits[0][:20])
    raise AdaptorError(f"{table} is a table that apply did not write: its log names no artifact")


def _said(fs: Any, commit: str) -> Iterator[dict[str, Any]]:
    """What a commit says of the table: its properties, and apply's own note."""
    for line in fs.cat_file(commit).splitlines():
        action = json.loads(line)
        if "metaData" in action:
            yield action["metaData"].get("configuration", {})
        note = action.get("commitInfo", {}).get("userMetadata")
        if note and FINGERPRINT in note:
            yield json.loads(note)
