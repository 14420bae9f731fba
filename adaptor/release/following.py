"""Following what is promoted: a service asks before each batch of queries, and has one version for all of it."""

from __future__ import annotations

from adaptor.artifact import Adaptor, version_of
from adaptor.release.table_stamp import fingerprint_of_table
from adaptor.release.versions import Versions


class Follower:
    """Gives the version that is current; it is loaded again only when another one is.

    With `for_table`, the folder of a Delta table, that is the version that wrote the table, as in `Adaptor.load`.
    A service of many threads may share one.
    """

    def __init__(self, path: str, *, for_table: str | None = None) -> None:
        self._path, self._table = path.rstrip("/"), for_table
        self._loaded: Adaptor | None = None

    def current(self) -> Adaptor:
        """The adaptor for the next batch: the same object until another version was promoted.

        That is asked of one small file, or with `for_table` of the end of the table's log. Raises `AdaptorError` where
        there is no version, or it can't be read; the next call asks again.
        """
        loaded, version = self._loaded, self._version()
        if loaded is None or version not in (None, loaded.version):
            loaded = Adaptor.load(self._path if version is None else Versions(self._path).folder(version))
            self._loaded = loaded
        return loaded

    def _version(self) -> str | None:
        """The version that is wanted now; None where the folder is an artifact's own and nothing is promoted in it."""
        if self._table is not None:
            return version_of(fingerprint_of_table(self._table)[0])
        return Versions(self._path).current
