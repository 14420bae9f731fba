"""Files of a table, as its log has them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from adaptor.spark.delta_log.scala import action

OF_THE_FILE = ("path", "partitionValues", "size", "modificationTime", "stats", "deletionVector")
"""What of an `add` action is so in any table. Row ids, commit versions, clustering and tags are the table's own."""


@dataclass(frozen=True)
class DataFile:
    """One file of a table: an `add` action of its log as JSON, and what is often asked of it."""

    action: str

    @cached_property
    def _add(self) -> dict[str, Any]:
        return json.loads(self.action)

    @cached_property
    def _stats(self) -> dict[str, Any]:
        return json.loads(self._add.get("stats") or "{}")

    @property
    def path(self) -> str:
        """As it stands in the log: URL-encoded, relative to the table or absolute."""
        return str(self._add["path"])

    @property
    def partition(self) -> dict[str, str | None]:
        """The value of each partition column, as text."""
        return dict(self._add["partitionValues"])

    @property
    def bytes(self) -> int:
        """The file's size."""
        return int(self._add["size"])

    @property
    def rows(self) -> int | None:
        """Rows that are not deleted; None where the log does not say."""
        records = self._stats.get("numRecords")
        return (
            None if records is None else int(records) - int(self._add.get("deletionVector", {}).get("cardinality", 0))
        )

    @property
    def key(self) -> str:
        """What tells it from other files, and from itself with other rows deleted; how a log came to us is left out."""
        return json.dumps([self.path, self._add.get("deletionVector")], sort_keys=True)

    @property
    def has_deletions(self) -> bool:
        """Whether some of its rows are marked as deleted."""
        return "deletionVector" in self._add

    def may_hold(self, column: str, low: Any, high: Any) -> bool:
        """Whether values of `column` can lie between these whole numbers or strings, by the file's statistics."""
        least, most = (self._stats.get(f"{end}Values", {}).get(column) for end in ("min", "max"))
        known = type(low) in (int, str) and type(low) is type(least) is type(most)
        return not known or (least <= high and low <= most)

    def below(self, folder: str) -> DataFile:
        """The same file as a new one of a table in the parent of this one's `folder`."""
        own = {key: value for key, value in self._add.items() if key in OF_THE_FILE}
        return DataFile(json.dumps({**own, "path": f"{folder}/{self.path}", "dataChange": True}))


def rows_of(files: Iterable[DataFile]) -> int | None:
    """Rows of files together; None where the log does not say it of each."""
    counts = [file.rows for file in files]
    return None if None in counts else sum(count or 0 for count in counts)


def data_file(add: Any) -> DataFile:
    """The file of an `add` action."""
    return DataFile(json.dumps(json.loads(add.json())["add"]))


def adds(jvm: Any, files: Sequence[DataFile]) -> list[Any]:
    """The `add` actions of files."""
    return [action(jvm, "add", file.action) for file in files]
