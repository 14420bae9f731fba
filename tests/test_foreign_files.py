"""Files of other writers in a Delta table: engine direct reads what Spark reads, or leaves them to Spark."""

import json
import re
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from applying import Bench
from synthetic import clustered

from adaptor import AdaptorError
from adaptor.spark.apply.engines.reading import Reading, Unlike, columns_of
from adaptor.spark.delta_log import DataFile, DeltaLog

ROWS = 4
SCHEMA = (
    "id BIGINT, embedding ARRAY<FLOAT>, title STRING, small SMALLINT, price DECIMAL(9, 2), day DATE, at TIMESTAMP,"
    " local TIMESTAMP_NTZ, flag BOOLEAN, ratio DOUBLE"
)
CARRY = ["title", "small", "price", "day", "at", "local", "flag", "ratio"]
FIXED = pa.list_(pa.float32(), 32)
NOON = datetime(2024, 2, 1, 12, 0, 1, 123000)
TABLE = {
    "id": pa.int64(),
    "embedding": pa.list_(pa.float32()),
    "title": pa.string(),
    "small": pa.int16(),
    "price": pa.decimal128(9, 2),
    "day": pa.date32(),
    "at": pa.timestamp("us", "UTC"),
    "local": pa.timestamp("us"),
    "flag": pa.bool_(),
    "ratio": pa.float64(),
}
VALUES = {
    "embedding": [list(map(float, row)) for row in clustered(ROWS)],
    "title": ["a", None, "b", "ä"],
    "small": [1, -2, None, 4],
    "price": [Decimal("1.25"), None, Decimal("-3.00"), Decimal("0.01")],
    "day": [date(2024, 2, 1), date(1600, 1, 1), None, date(2000, 2, 29)],
    "at": [NOON, None, NOON, NOON],
    "local": [NOON, NOON, None, NOON],
    "flag": [True, None, False, True],
    "ratio": [0.5, 0.25, None, 1.0],
}


def columns(number=0, **others):
    """A table as Spark has it, but for some columns; None is one that is not there."""
    arrays = {"id": pa.array(range(number * ROWS, (number + 1) * ROWS), TABLE["id"])}
    arrays |= {name: pa.array(values, TABLE[name]) for name, values in VALUES.items()} | others
    return pa.table({name: column for name, column in arrays.items() if column is not None})


def of_type(name, kind):
    return {name: pa.array(VALUES[name], TABLE[name]).cast(kind, safe=False)}


def old(version, **marks):
    """Dates and times long ago, in a file that Spark of this version wrote."""
    days = pa.array([date(1500, 1, 1)] * ROWS)
    times = pa.array([datetime(1500, 1, 1)] * ROWS, TABLE["at"])
    said = {"org.apache.spark.version": version, **{f"org.apache.spark.{mark}": "" for mark in marks}}
    return {"day": days, "at": times}, {}, said


ALIKE = {
    "as Spark has them": {},
    "ids of 32 bits": {"id": pa.array(range(1000, 1000 + ROWS), pa.int32())},
    "dictionaries": {"title": pa.array(VALUES["title"]).dictionary_encode()},
    "long strings": of_type("title", pa.large_string()),
    "strings that do not say so": {"title": pa.array([b"a", None, b"\xff", b"b"])},
    "list items by another name": ({}, {"use_compliant_nested_type": False}),
    "long lists": of_type("embedding", pa.large_list(pa.float32())),
    "lists of a fixed size": {"embedding": pa.array(VALUES["embedding"], FIXED)},
    "milliseconds": of_type("at", pa.timestamp("ms", "UTC")) | of_type("local", pa.timestamp("ms")),
    "another time zone": of_type("at", pa.timestamp("us", "Asia/Tokyo")),
    "times of 96 bits": ({"local": None}, {"use_deprecated_int96_timestamps": True}),
    "floats under doubles": of_type("ratio", pa.float32()),
    "bytes under shorts": of_type("small", pa.int8()),
    "columns that are younger": {"title": None, "at": None, "embedding": None},
    "more columns": {"title.more": pa.array(["x"] * ROWS), "unknown": pa.array([{"a": 1}] * ROWS)},
    "today's calendar": old("3.5.0"),
}
LEFT = {
    "lists of a fixed size with a null": {"embedding": pa.array([None, *VALUES["embedding"][1:]], FIXED)},
    "a smaller precision": of_type("price", pa.decimal128(8, 2)),
    "a smaller scale": of_type("price", pa.decimal128(7, 1)),
    "local times as instants": {"at": pa.array(VALUES["at"], pa.timestamp("us"))},
    "instants as local times": {"local": pa.array(VALUES["local"], pa.timestamp("us", "UTC"))},
    "local times of 96 bits": ({"at": None}, {"use_deprecated_int96_timestamps": True}),
    "unsigned numbers": {"small": pa.array([1, 200, None, 4], pa.uint8())},
    "numbers of 32 bits under shorts": of_type("small", pa.int32()),
    "integers under doubles": {"ratio": pa.array([1, None, 3, 4], pa.int32())},
    "the calendar of Spark 2": old("2.4.8"),
    "the calendar of Spark 2, asked for": old("3.5.0", legacyDateTime=True),
}  # fmt: skip
REFUSED = {
    "two columns by one name": {"ID": pa.array(range(ROWS))},
    "doubles under floats": {"embedding": pa.array(VALUES["embedding"], pa.list_(pa.float64()))},
    "numbers of 64 bits under shorts": of_type("small", pa.int64()),
    "a larger scale": of_type("price", pa.decimal128(12, 4)),
    "nanoseconds": of_type("at", pa.timestamp("ns", "UTC")),
    "numbers as text": {"title": pa.array(range(ROWS))},
    "text as numbers": {"id": pa.array(["a"] * ROWS)},
    "text as embeddings": {"embedding": pa.array(["a"] * ROWS)},
    "lists under numbers": {"ratio": pa.array([[1.0]] * ROWS)},
}


def write(path, case, number=0):
    """A file of this kind."""
    others, options, said = (*case, {}, {})[:3] if isinstance(case, tuple) else (case, {}, {})
    table = columns(number, **others)
    parquet.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **said}), path, **options)
    return path


@pytest.fixture
def bench(spark, tmp_path):
    return Bench(spark, tmp_path)


def table_of(bench, cases):
    """A Delta table that has taken in a file of each kind, and one in capitals."""
    bench.spark.sql(f"CREATE TABLE delta.`{bench.docs}` ({SCHEMA}) USING delta")
    files = [write(bench.folder / "docs" / f"{i}.parquet", case, i) for i, case in enumerate(cases)]
    files.append(bench.folder / "docs" / "capitals.parquet")
    capitals = columns(99)
    parquet.write_table(capitals.rename_columns([name.upper() for name in capitals.column_names]), files[-1])
    transaction = DeltaLog(bench.spark, bench.docs).start()
    for file in files:
        stats = json.dumps({"numRecords": ROWS})
        action = {"path": file.name, "partitionValues": {}, "size": file.stat().st_size, "modificationTime": 0}
        transaction.add([DataFile(json.dumps({**action, "dataChange": True, "stats": stats}))])
    transaction.commit({})


def require_alike(bench, engine):
    """Both engines give the source's rows, as Spark reads them."""
    for name in (engine, "arrow"):
        bench.apply(name, engine=name, carry=CARRY)
    source = [[row[name] for name in ("id", *CARRY)] for row in bench.rows("docs") if row.embedding]
    rows = bench.rows(engine)
    assert [[row[name] for name in ("id", *CARRY)] for row in rows] == source
    for mine, other in zip(rows, bench.rows("arrow"), strict=True):
        assert mine[: len(source[0])] == other[: len(source[0])]
        np.testing.assert_allclose(mine.embedding_8, other.embedding_8, atol=1e-6)
    assert bench.listed(engine) == bench.listed("arrow")


def test_two_files_that_spell_the_columns_otherwise(bench):
    folder = bench.folder / "docs"
    folder.mkdir()
    lists = pa.array(list(clustered(300)), pa.list_(pa.float32()))
    for number, names in enumerate((["id", "embedding", "title"], ["ID", "Embedding", "Title"])):
        ids = [f"d{number}{i:03d}" for i in range(300)]
        parquet.write_table(pa.table([pa.array(ids), lists, pa.array(ids)], names), folder / f"{number}.parquet")
    bench.spark.sql(f"CONVERT TO DELTA parquet.`{folder}`")
    names = bench.spark.read.format("delta").load(str(folder)).columns  # those of one of the two
    settings = {"source": {"id": names[0], "embedding": names[1]}, "carry": [names[2]]}
    applied = bench.apply("nested", engine="direct", **settings)
    assert (applied.written, dict(applied.bad_rows)) == (600, {})
    assert all(row[names[2]] == row[names[0]] for row in bench.rows("nested"))


def test_what_arrow_reads_as_spark_does(bench):
    table_of(bench, ALIKE.values())
    require_alike(bench, "direct")
    assert [row.reason for row in bench.rows("direct_quarantine")] == ["null"] * ROWS


def test_what_only_spark_can_be_trusted_with(bench):
    table_of(bench, LEFT.values())
    require_alike(bench, "auto")
    sentence = (
        r"apply.engine=direct can't be sure to read \S+/docs/0.parquet as Spark does: column 'embedding' is FLOAT in "
        r"embedding.list.element there, and 'embedding' is list<element: float> in the table; set apply.engine=arrow"
    )
    with pytest.raises(AdaptorError, match=sentence):
        bench.apply("asked", engine="direct", carry=CARRY)
    assert not (bench.folder / "asked" / "_delta_log").exists()


@pytest.mark.parametrize("name", [*LEFT, *REFUSED])
def test_a_file_that_is_left_says_why(tmp_path, name):
    path = write(tmp_path / "0.parquet", {**LEFT, **REFUSED}[name])
    with parquet.ParquetFile(path, coerce_int96_timestamp_unit="us") as file, pytest.raises(Unlike):
        columns_of(file, TABLE, Reading())


def test_what_spark_refuses_is_refused(bench, tmp_path):
    for case in REFUSED.values():
        rows = bench.spark.read.schema(SCHEMA).parquet(str(write(tmp_path / "0.parquet", case)))
        with pytest.raises(Exception, match=r"PARQUET|Found duplicate|convert"):
            rows.collect()
    table_of(bench, [REFUSED["two columns by one name"]])
    for engine, said in (("auto", 'Found duplicate field(s) "id"'), ("direct", "columns 'id' and 'ID' could both be")):
        with pytest.raises(Exception, match=re.escape(said)):
            bench.apply("nested", engine=engine, carry=CARRY)
    assert not (bench.folder / "nested" / "_delta_log").exists()


def test_names_and_calendars_are_as_the_session_has_them(tmp_path):
    path = write(tmp_path / "0.parquet", {"ID": pa.array(range(ROWS)), "embedding": None})
    undated, _, _ = old("")
    with parquet.ParquetFile(path) as file:
        assert columns_of(file, {"id": pa.int64(), "Title": pa.string()}, Reading(case_sensitive=True)) == {"id": "id"}
    for name, kind in (("day", pa.date32()), ("at", TABLE["at"])):
        file = parquet.ParquetFile(write(tmp_path / "1.parquet", undated))
        late = parquet.ParquetFile(write(tmp_path / "2.parquet", {}))
        assert columns_of(file, {name: kind}, Reading()) == {name: name}
        for mode in ("EXCEPTION", "LEGACY", None):
            assert columns_of(late, {name: kind}, Reading(dates=mode)) == {name: name}
            with pytest.raises(Unlike, match=f"column '{name}', .* may follow the calendar of Spark 2"):
                columns_of(file, {name: kind}, Reading(dates=mode))
    path = write(tmp_path / "3.parquet", ({}, {"use_deprecated_int96_timestamps": True}))
    with parquet.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:
        assert columns_of(file, {"at": TABLE["at"]}, Reading(dates=None)) == {"at": "at"}
        with pytest.raises(Unlike, match="calendar"):
            columns_of(file, {"at": TABLE["at"]}, Reading(int96=None))


def test_lists_as_spark_wrote_them_once(bench):
    """`bag.array` is read, and two levels, where no item can be null, are left to Spark."""
    query = bench.spark.sql(
        "SELECT id, TRANSFORM(SEQUENCE(1, 32), x -> CAST(x + id AS FLOAT)) AS embedding FROM RANGE(10)"
    ).coalesce(1)
    with bench.setting("spark.sql.parquet.writeLegacyFormat", "true"):
        query.write.format("delta").save(bench.docs)
        query.write.parquet(str(bench.folder / "plain"))
    paths = [next((bench.folder / name).glob("*.parquet")) for name in ("docs", "plain")]
    lists = [parquet.ParquetFile(path).schema.column(1).path for path in paths]
    assert lists == ["embedding.bag.array", "embedding.array"]
    bench.apply("direct", engine="direct", carry=["embedding"])
    np.testing.assert_array_equal(
        [row.embedding for row in bench.rows("direct")], [np.arange(1, 33) + i for i in range(10)]
    )
    with parquet.ParquetFile(paths[1]) as file, pytest.raises(Unlike, match=r"FLOAT in embedding.array there"):
        columns_of(file, {"embedding": TABLE["embedding"]}, Reading())


def test_files_that_tasks_write_say_which_calendar_they_follow(bench):
    bench.save(np.ones((5, 32)))
    for engine in ("direct", "arrow"):
        bench.apply(engine, engine=engine)
        for file in bench.files(engine):
            assert parquet.ParquetFile(file.removeprefix("file://")).metadata.metadata[b"org.apache.spark.version"]
