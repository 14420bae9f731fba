"""Which engine writes a table: the fastest that fits it."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql.types import StructType

from adaptor.errors import AdaptorError
from adaptor.spark.apply.engines import direct
from adaptor.spark.apply.engines.writing import obstacle_to_writing, on_shared_folders
from adaptor.spark.apply.request import Request
from adaptor.spark.columns import field_of
from adaptor.spark.delta_log import Definition, Snapshot


def choose(request: Request, source: Snapshot, table: Definition, location: str, report: Callable[[str], None]) -> str:
    """The engine that `apply.engine` names, or for `auto` the fastest that fits; a line says why it is not `direct`.

    `table` is what is written to, `location` where. Raises `AdaptorError` where `direct` is asked for and does not fit.
    """
    engine = request.settings.engine
    if engine not in ("auto", "direct"):
        return engine
    kept = StructType([field_of(source.schema, name) for name in request.kept])
    reason = (
        direct.obstacle_to_reading(request, source)
        or direct.obstacle_to_partitions(source, table)
        or obstacle_to_writing(request, kept, table)
    )
    if reason is None and engine == "auto" and not on_shared_folders(source.location, location):
        reason = "tasks have no credentials of their own for this file system; apply.engine=direct tries them anyway"
    if reason is None:
        return "direct"
    if engine == "direct":
        raise AdaptorError(f"apply.engine=direct does not fit {request.source}: {reason}; set apply.engine=auto")
    report(f"engine arrow, not direct: {reason}")
    return "arrow"
