"""Which engine writes a table: the fastest that fits it."""

from __future__ import annotations

from collections.abc import Callable

from adaptor.errors import AdaptorError
from adaptor.spark.apply.engines import direct
from adaptor.spark.apply.engines.writing import on_shared_folders
from adaptor.spark.apply.work import Work
from adaptor.spark.delta_log import Snapshot


def choose(work: Work, source: Snapshot, location: str, report: Callable[[str], None]) -> str:
    """The engine that `apply.engine` names, or for `auto` the fastest that fits; a line says why it is not `direct`.

    Raises `AdaptorError` where `direct` was asked for and can't read this table.
    """
    asked = work.settings.engine
    if asked not in ("auto", "direct"):
        return asked
    reason = direct.why_not(work, source)
    if reason is None and asked == "auto" and not on_shared_folders(source.location, location):
        reason = "tasks have no credentials of their own for this file system; apply.engine=direct tries them anyway"
    if reason is None:
        return "direct"
    if asked == "direct":
        raise AdaptorError(f"apply.engine=direct can't read {work.source}: {reason}; set apply.engine=auto")
    report(f"engine arrow, not direct: {reason}")
    return "arrow"
