"""Measurements in files beside an artifact's versions: the last one of each version, and references frozen by name."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adaptor.errors import AdaptorError
from adaptor.evaluation.measurement import Measurement, Variant
from adaptor.storage import open_folder, write_whole

EVALUATIONS, REFERENCES = "evaluations", "references"
DESCRIPTION = b"measurement"  # the key of the file's metadata


def save(root: str, measurement: Measurement) -> None:
    """Keep what was measured of a version on a data set, in place of what was there."""
    _write(root, f"{EVALUATIONS}/{measurement.version}", measurement)


def last_of(root: str, version: str) -> list[Measurement]:
    """What was measured of a version, a data set each, in the order of their names."""
    return _read_all(root, f"{EVALUATIONS}/{version}")


def require_measured(root: str, version: str | None) -> list[Measurement]:
    """The same; `AdaptorError` where nothing was measured."""
    measurements = last_of(root, version) if version else []
    if not measurements:
        raise AdaptorError(f"nothing was measured of version {version} in {root}; run jobs/evaluate.py first")
    return measurements


def require_name_is_free(root: str, name: str) -> None:
    """`AdaptorError` where a reference of that name is there: it stays as it was frozen."""
    fs, folder = open_folder(root)
    if fs.exists(f"{folder}/{REFERENCES}/{_as_file(name)}"):
        raise AdaptorError(f"{root} has a reference run {name!r} already; choose another name")


def freeze(root: str, name: str, measurements: Sequence[Measurement]) -> None:
    """Keep measurements under a name that rules can refer to."""
    require_name_is_free(root, name)
    for measurement in measurements:
        _write(root, f"{REFERENCES}/{_as_file(name)}", measurement)


def reference(root: str, name: str) -> list[Measurement]:
    """A run that was frozen by name; `AdaptorError` naming those there are."""
    measurements = _read_all(root, f"{REFERENCES}/{_as_file(name)}")
    if not measurements:
        fs, folder = open_folder(root)
        there = f"{folder}/{REFERENCES}"
        names = sorted(path.rpartition("/")[2] for path in fs.ls(there, detail=False)) if fs.exists(there) else []
        has = f"it has {', '.join(names)}" if names else "it has none"
        raise AdaptorError(f"{root} has no reference run {name!r}: {has}; jobs/evaluate.py --freeze NAME makes one")
    return measurements


def _write(root: str, folder: str, measurement: Measurement) -> None:
    rows = [(variant, metric, values) for variant, by in measurement.values.items() for metric, values in by.items()]
    variants = [asdict(variant) for variant, _, _ in rows]
    described = {
        name: value for name, value in vars(measurement).items() if name not in ("values", "search_seconds", "parts")
    }
    columns = {name: [variant[name] for variant in variants] for name in ("candidate", "dim", "encoding", "shortlist")}
    seconds = [measurement.search_seconds.get(variant) for variant, _, _ in rows]
    table = pa.table(
        columns
        | {
            "metric": [metric for _, metric, _ in rows],
            "values": [values for _, _, values in rows],
            "search_seconds": pa.array(seconds, pa.float64()),
        }
    ).replace_schema_metadata({DESCRIPTION: json.dumps(described).encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_whole(root, f"{folder}/{_as_file(measurement.data_set)}.parquet", buffer.getvalue())


def _read_all(root: str, folder: str) -> list[Measurement]:
    fs, top = open_folder(root)
    there = f"{top}/{folder}"
    paths = sorted(fs.ls(there, detail=False)) if fs.exists(there) else []
    return [_read(fs.cat_file(path), path) for path in paths if path.endswith(".parquet")]


def _read(content: bytes, path: str) -> Measurement:
    try:
        table = pq.read_table(io.BytesIO(content))
        described = json.loads(table.schema.metadata[DESCRIPTION])
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise AdaptorError(f"{path} is damaged ({error}); delete it and evaluate again") from error
    values: dict[Variant, dict[str, np.ndarray]] = {}
    seconds = {}
    for row in table.to_pylist():
        variant = Variant(row["candidate"], row["dim"], row["encoding"], row["shortlist"])
        values.setdefault(variant, {})[row["metric"]] = np.array(row["values"], np.float64)
        if row["search_seconds"] is not None:
            seconds[variant] = row["search_seconds"]
    tuples = {name: tuple(value) for name, value in described.items() if isinstance(value, list)}
    return Measurement(values=values, search_seconds=seconds, **(described | tuples))


def _as_file(name: str) -> str:
    return quote(name, safe="").replace(".", "%2E")
