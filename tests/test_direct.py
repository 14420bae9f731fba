"""The direct engine: what it writes is what Spark's own reading and writing gives, or it leaves the table to that."""

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from applying import ADAPTOR, Bench, vectors
from comparing import assert_same_rows
from synthetic import clustered

from adaptor import AdaptorError
from adaptor.encode.kernel import Kernel
from adaptor.spark.apply.engines import parquet as parquet_files
from adaptor.spark.apply.engines.parquet import Listing, Split, adapt_splits

LISTING = Listing(
    pa.schema(
        [("id", pa.int64()), ("reason", pa.string()), ("version", pa.int64()), ("at", pa.timestamp("us", tz="UTC"))]
    ),
    source_version=0,
)


@pytest.fixture
def bench(spark, tmp_path):
    return Bench(spark, tmp_path)


def test_every_row_is_in_exactly_one_split(tmp_path):
    """Wherever a file of ten row groups is cut."""
    x = clustered(1000)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 32).cast(pa.list_(pa.float32()))
    source = str(tmp_path / "source.parquet")
    parquet.write_table(pa.table({"id": np.arange(1000), "embedding": lists}), source, row_group_size=100)
    size = (tmp_path / "source.parquet").stat().st_size
    schema = pa.schema([("id", pa.int64())])
    for step in (size, size // 2 + 1, size // 7, 501):
        ids = []
        for start in range(0, size, step):
            folder = tmp_path / f"out-{step}-{start}"
            split = Split(source, start, min(start + step, size))
            output = adapt_splits(
                Kernel(ADAPTOR), "id", "embedding", schema, False, str(folder), str(folder / "bad"), [split], LISTING
            )
            for file in output.good:
                table = parquet.read_table(folder / file.name)
                assert (len(table), file.stats["numRecords"]) == (output.seen, output.seen)
                ids.append(table)
        whole = pa.concat_tables(ids).sort_by("id")
        assert whole["id"].to_pylist() == list(range(1000))
        expected = ADAPTOR.encode(x, dim=8)
        np.testing.assert_allclose(np.array(whole["embedding_8"].to_pylist()), expected, atol=1e-6)


def test_a_failing_task_leaves_no_file(tmp_path):
    lists = pa.array([[1.0] * 32] * 5, pa.list_(pa.float32()))
    source = tmp_path / "source.parquet"
    parquet.write_table(pa.table({"id": ["a"] * 5, "embedding": lists}), source, row_group_size=3)
    group = parquet.ParquetFile(source).metadata.row_group(1).column(0)
    with source.open("r+b") as file:  # the second of two row groups is damaged
        file.seek(group.dictionary_page_offset or group.data_page_offset)
        file.write(b"\xff" * 8)
    schema = pa.schema([("id", pa.string())])
    split = Split(str(source), 0, 1 << 30)
    out = str(tmp_path / "out")
    with pytest.raises(OSError, match="page header"):
        adapt_splits(Kernel(ADAPTOR), "id", "embedding", schema, False, out, str(tmp_path), [split], LISTING)
    assert not (tmp_path / "out").exists()


def test_carried_columns_are_read_as_spark_wrote_them(bench):
    docs = bench.spark.sql("SELECT id, CAST(id AS STRING) AS name, ARRAY_REPEAT(CAST(id + 1 AS FLOAT), 32) embedding,"
        " IF(id = 3, NULL, id % 2 = 0) AS flag, CAST(id AS TINYINT) AS tiny, CAST(id AS SMALLINT) AS small,"
        " CAST(id / 7 AS DECIMAL(20, 5)) AS price, CAST(id AS FLOAT) / 3 AS share, CAST(id AS DOUBLE) / 3 AS exact,"
        " DATE'1500-01-01' + CAST(id AS INT) AS day, TIMESTAMP'1800-01-01 00:00:01' + MAKE_INTERVAL(id * 20) AS at,"
        " TIMESTAMP_NTZ'2024-01-01 00:00:01.000123' AS local FROM RANGE(20)")  # fmt: skip
    docs.write.format("delta").save(bench.docs)
    carry = [name for name in docs.columns if name not in ("id", "embedding")]
    for engine in ("direct", "arrow"):
        bench.apply(engine, engine=engine, carry=carry)
    assert_same_rows(bench.rows("direct"), bench.rows("arrow"))
    row = bench.rows("direct")[7]
    assert (row.day, row.price, row.local) == (
        date(1500, 1, 8), Decimal("1.00000"), datetime(2024, 1, 1, 0, 0, 1, 123)
    )  # fmt: skip
    target = bench.spark.read.format("delta").load(str(bench.folder / "direct"))
    assert [len(target.where(condition).inputFiles()) for condition in ("id = 7", "id > 100")] == [1, 0]
    assert bench.rows("direct")[3].flag is None


def test_files_that_are_older_than_a_column_and_dates_far_away(bench):
    bench.save(vectors(10, bad=False))
    bench.sql("ALTER TABLE docs ADD COLUMNS (language STRING, until TIMESTAMP)")
    bench.sql("INSERT INTO docs SELECT 'e' || id, title, embedding, 'en', TIMESTAMP'9999-12-31 00:00:00' FROM docs")
    for engine in ("direct", "arrow"):
        bench.apply(engine, engine=engine, carry=["language", "until"])
    assert_same_rows(bench.rows("direct"), bench.rows("arrow"))
    assert [row.language for row in bench.rows("direct")] == [None] * 10 + ["en"] * 10
    assert bench.rows("direct")[10].until == datetime(9999, 12, 31)


def test_deleted_rows_stay_deleted(bench):
    bench.save(vectors(200))
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableDeletionVectors' = true)")
    bench.sql("DELETE FROM docs WHERE id < 'd010' OR id = 'd201'")
    log = sorted((bench.folder / "docs" / "_delta_log").glob("*.json"))[-1].read_text()
    assert '"deletionVector"' in log, "the delete marked rows"
    applied = bench.apply("direct", engine="direct")
    assert (applied.written, dict(applied.bad_rows)) == (190, {"null": 1, "width 3 instead of 32": 1})
    assert [row.id for row in bench.rows("direct")] == [f"d{i:03d}" for i in range(10, 200)]


@pytest.mark.parametrize(
    ("change", "source", "carry", "reason"),
    [
        ("ALTER TABLE docs SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')", {}, [], "maps column names"),
        ("SELECT 1", {"where": "id < 'd050'"}, [], "source.where is SQL"),
        ("ALTER TABLE docs ADD COLUMN tags ARRAY<STRING>", {}, ["tags"], "column 'tags' is array<string>"),
    ],
)
def test_what_it_can_not_read_goes_the_ordinary_way(bench, change, source, carry, reason):
    bench.save(vectors(100))
    bench.sql(change)
    bench.apply("auto", source=source, carry=carry)
    assert any(line.startswith("engine arrow, not direct:") and reason in line for line in bench.said)
    assert len(bench.rows("auto")) == (50 if source else 100)
    with pytest.raises(AdaptorError, match=f"apply.engine=direct does not fit .*{reason}.*set apply.engine=auto"):
        bench.apply("asked", source=source, carry=carry, engine="direct")


def test_a_target_that_the_session_makes_otherwise(bench):
    """Files that tasks write name their columns, and are all that the target gets."""
    bench.save(vectors(100))
    defaults = "spark.databricks.delta.properties.defaults"
    with bench.setting(f"{defaults}.columnMapping.mode", "name"):
        bench.apply("mapped")
        assert any("engine direct" in line for line in bench.said)
        with bench.setting(f"{defaults}.enableTypeWidening", "true"):
            bench.apply("widened")
            assert bench.said[0] == "engine arrow, not direct: the target has delta.enableTypeWidening"
    bench.apply("plain")
    for name in ("mapped", "widened"):
        assert_same_rows(bench.rows(name), bench.rows("plain"))


def test_a_session_that_gathers_no_statistics(bench):
    bench.save(vectors(10))
    collect = "spark.databricks.delta.stats.collect"
    with bench.setting(collect, "false"):
        with pytest.raises(AdaptorError, match=f"leave {collect} on"):
            bench.apply("nested", engine="pandas_udf")
        bench.apply("direct")
    assert len(bench.rows("direct")) == 10


def test_ids_that_arrow_and_spark_write_otherwise(bench):
    """As text a double is 1.0E20 for one and 1e+20 for the other."""
    bench.spark.sql("SELECT 1E20D AS id, ARRAY(CAST(1 AS FLOAT)) AS embedding UNION ALL "
        "SELECT 2D, ARRAY_REPEAT(CAST(1 AS FLOAT), 32) UNION ALL "
        "SELECT 3D, ARRAY_REPEAT(CAST(1 AS FLOAT), 32)").write.format("delta").save(bench.docs)  # fmt: skip
    bench.apply("auto", carry=[])
    assert bench.said[0] == "engine arrow, not direct: the id is double"
    assert [row.id for row in bench.rows("auto_quarantine")] == [1e20]


def test_a_quarantine_that_is_another_target(bench):
    bench.save(vectors(10))
    bench.apply("other")
    before = bench.rows("other")
    with pytest.raises(AdaptorError, match=r"other is no quarantine that apply wrote; name another apply.quarantine"):
        bench.apply("nested", quarantine=str(bench.folder / "other"))
    assert bench.rows("other") == before


def test_files_are_neither_too_small_nor_too_many(bench):
    bench.save(vectors(300, bad=False), files=12)
    bench.apply("direct", engine="direct")
    rows = bench.spark.read.format("delta").load(str(bench.folder / "direct"))
    assert len(rows.inputFiles()) == 1


def test_bounds_are_exact_or_not_there(tmp_path, monkeypatch):
    """Three row groups; texts that Delta or the footer would cut off have no bounds, nor have those of other bytes."""
    monkeypatch.setattr(parquet_files, "GROUP_BYTES", 1)
    groups = {
        "text": [["b", None], ["a" * 40, "c"], ["d"]],
        "word": [["b", None], ["ä", "c"], ["d"]],
        "page": [["b", None], ["z" * 5000, "c"], ["d"]],
        "latin": [[b"b", None], [b"\xff", b"c"], [b"d"]],
        "number": [[3, 1], [2, -2], [7]],
        "flag": [[True, False], [True, None], [True]],
        "nothing": [[None, None], [None, None], [None]],
    }
    kinds = {"number": pa.int64(), "flag": pa.bool_(), "nothing": pa.int32()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in groups])
    with parquet_files.ParquetFile(str(tmp_path), schema, schema.names) as file:
        for number in range(3):
            columns = [pa.array(groups[field.name][number], kinds.get(field.name, pa.binary())) for field in schema]
            columns = [column.view(field.type) for column, field in zip(columns, schema)]
            file.write(pa.RecordBatch.from_arrays(columns, schema=schema))
    assert file.written[0].stats == {
        "numRecords": 5,
        "minValues": {"word": "b", "number": -2},
        "maxValues": {"word": "ä", "number": 7},
        "nullCount": {"text": 1, "word": 1, "page": 1, "latin": 1, "number": 0, "flag": 1, "nothing": 5},
    }


def test_columns_with_columns_inside_have_no_statistics(tmp_path):
    """A field of a struct and a column of the same path are not taken for each other."""
    struct = pa.struct([("id", pa.int64()), ("pages", pa.list_(pa.int32()))])
    tags = pa.map_(pa.string(), pa.int8())
    schema = pa.schema([("doc", struct), ("doc.id", pa.int64()), ("tags", tags), ("n", pa.int8())])
    rows = [{"doc": {"id": 1, "pages": [2]}, "doc.id": 7, "tags": [("a", 3)], "n": 5}, {"doc.id": 9, "n": None}]
    with parquet_files.ParquetFile(str(tmp_path), schema, schema.names) as file:
        file.write(pa.RecordBatch.from_pylist(rows, schema=schema))
    assert file.written[0].stats == {
        "numRecords": 2,
        "minValues": {"doc.id": 7, "n": 5},
        "maxValues": {"doc.id": 9, "n": 5},
        "nullCount": {"doc.id": 0, "n": 1},
    }
