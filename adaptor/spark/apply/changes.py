"""Only what changed: the source's change feed since the version that the target holds, merged into it."""

from __future__ import annotations

from collections.abc import Callable

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException

from adaptor.errors import AdaptorError
from adaptor.spark.apply.full import Outcome, apply_full
from adaptor.spark.apply.merge import merge_changes
from adaptor.spark.apply.request import Request
from adaptor.spark.apply.stamp import BUILD, Stamp, is_ours
from adaptor.spark.apply.target import require_replaceable
from adaptor.spark.causes import lost_files
from adaptor.spark.columns import field_of
from adaptor.spark.progress import Progress
from adaptor.spark.tables import first_line

FEED = "delta.enableChangeDataFeed"


def apply_changes(request: Request, report: Progress) -> Outcome:
    """Merge inserts, updates and deletes since the last version applied; build the target where there is none.

    Raises `AdaptorError` where the change feed is off or its files are gone, where an id stands for
    several rows, and where the counts do not add up.
    """
    last = held_version(request, report)
    if last is None:
        return apply_full(request, report)
    now = int(request.source.version or 0)
    if now == last:
        report(f"{request.target.where} holds {request.source} already: nothing to do")
        return Outcome(now, 0, {}, 0)
    report(f"merging the changes of versions {last + 1} to {now} into {request.target.where}")
    try:
        changes = request.snapshot().changes(since=last + 1)
    except (PySparkException, Py4JJavaError) as error:
        raise broken_feed(request, last, error) from error
    try:
        return merge_changes(request, changes, (last, now), once=None)
    except (PySparkException, Py4JError) as error:
        if is_lost(error):
            raise broken_feed(request, last, error) from error
        raise


def is_lost(error: Exception) -> bool:
    """Whether changes were not recorded, or their files are gone."""
    return lost_files(error) or "DELTA_MISSING_CHANGE_DATA" in str(error)


def broken_feed(request: Request, last: int, error: Exception) -> AdaptorError:
    """What to say where changes can't be read."""
    return AdaptorError(
        f"the change feed of {request.source.where} can't be followed from version {last + 1} ({first_line(error)}); "
        "run once with apply.mode=full"
    )


def held_version(request: Request, report: Callable[[str], None]) -> int | None:
    """The source version that the target holds; None where it must be built first.

    Raises `AdaptorError` where changes can't be followed from there.
    """
    held = request.log(request.target).snapshot() if request.target.exists(request.spark) else None
    properties = held.properties if held else {}
    if held is None or not properties or (BUILD not in properties and is_ours(properties)):
        report(f"there is no {request.target.where} yet: it is built from all rows")
        return None
    require_replaceable(request, properties)
    stamp = Stamp.from_properties(properties)
    if stamp is None or stamp.version is None:
        return None
    if stamp.key != request.key:
        if request.settings.rebuild:
            return None
        raise AdaptorError(
            f"{request.target.where} was written with other carried columns, partitions, another source.where or "
            "apply.bad_rows, or from another table that stood in the source's place; "
            "set apply.rebuild=true to replace it in one commit"
        )
    source = request.snapshot()
    if source.properties.get(FEED) != "true":
        raise AdaptorError(
            f"{request.source.where} keeps no change feed; switch it on by ALTER TABLE {request.source.identifier} "
            f"SET TBLPROPERTIES ('{FEED}' = 'true') and run once with apply.mode=full"
        )
    then = {field.name: field.dataType.simpleString() for field in held.schema}
    kinds = {name: field_of(source.schema, name).dataType.simpleString() for name in request.kept}
    changed = [f"{name} is {kinds[name]} now" for name in request.kept if then.get(name) != kinds[name]]
    if changed:
        if request.settings.rebuild:
            return None
        raise AdaptorError(
            f"{request.target.where} has the columns of {request.source.where} as they were, and {', '.join(changed)}; "
            "set apply.rebuild=true to replace it in one commit"
        )
    last, now = stamp.version, int(request.source.version or 0)
    if now < last:
        raise AdaptorError(
            f"{request.target.where} holds version {last} of {request.source.where}, and version {now} is older; "
            "set apply.mode=full to go back"
        )
    gained = [name for name in source.schema.names if name not in (stamp.source_columns or ())]
    if gained:
        report(f"new columns of {request.source.where} are not carried: {', '.join(gained)}")
    return last
