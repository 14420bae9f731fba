"""Delta tables by path and by name, pinned to a version; what is missing is named."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import clustered, embeddings_frame, save_delta

from adaptor.errors import AdaptorError
from adaptor.spark.tables import TableRef, require_columns, require_embeddings, require_rows


@pytest.fixture(scope="module")
def lake(spark, tmp_path_factory):
    """Two versions of one table, of 4 and then 6 rows, at a path and under a name."""
    path = str(tmp_path_factory.mktemp("lake") / "docs")
    for rows in (range(4), range(4, 6)):
        df = embeddings_frame(spark, np.ones((len(rows), 2)), [f"d{i}" for i in rows])
        save_delta(df, path, "append")
        df.write.format("delta").mode("append").saveAsTable("docs")
    spark.range(3).write.saveAsTable("plain_parquet", format="parquet")
    yield SimpleNamespace(path=path, name="default.docs")
    spark.sql("DROP TABLE docs")
    spark.sql("DROP TABLE plain_parquet")


@pytest.mark.parametrize("kind", ["path", "name"])
def test_pinned_at_the_latest_version(spark, lake, kind):
    table = TableRef(getattr(lake, kind)).pinned(spark)
    assert table.version == 1
    assert table.read(spark).count() == 6
    assert str(table) == f"{table.where} at version 1"


@pytest.mark.parametrize("kind", ["path", "name"])
def test_pinned_at_an_older_version(spark, lake, kind):
    table = TableRef(getattr(lake, kind), 0).pinned(spark)
    assert sorted(row.id for row in table.read(spark).collect()) == ["d0", "d1", "d2", "d3"]


def test_a_pinned_version_does_not_see_later_rows(spark, tmp_path):
    path = save_delta(embeddings_frame(spark, clustered(5)), tmp_path / "t")
    table = TableRef(path).pinned(spark)
    save_delta(embeddings_frame(spark, clustered(3)), path, "append")
    assert table.read(spark).count() == 5
    assert TableRef(path).read(spark).count() == 8


def test_a_relative_path(spark, lake, monkeypatch):
    folder, _, name = lake.path.rpartition("/")
    monkeypatch.chdir(folder)
    assert TableRef(f"./{name}").pinned(spark).read(spark).count() == 6


@pytest.mark.parametrize("url", ["s3a://bucket/docs", "dbfs:/mnt/docs", "file:/tmp/docs"])
def test_a_url_is_left_as_it_is(url):
    assert TableRef(url).path == url


def test_identifiers_are_quoted():
    assert TableRef("main.my schema.docs").identifier == "`main`.`my schema`.`docs`"
    assert TableRef("/lake/a`b").identifier == "`delta`.`/lake/a``b`"


@pytest.mark.parametrize("where", ["/nowhere/at/all", "nowhere", "no_schema.nowhere"])
def test_a_missing_table(spark, where):
    with pytest.raises(AdaptorError, match=re.escape(f"there is no Delta table at {where}; check source.table")):
        TableRef(where).pinned(spark)


def test_a_folder_that_is_no_delta_table(spark, tmp_path):
    spark.range(3).write.parquet(str(tmp_path / "p"))
    with pytest.raises(AdaptorError, match="there is no Delta table at"):
        TableRef(str(tmp_path / "p")).pinned(spark)


def test_a_name_that_is_no_delta_table(spark, lake):
    with pytest.raises(AdaptorError, match=r"default.plain_parquet can't be read: .*not a Delta table"):
        TableRef("default.plain_parquet").pinned(spark)


@pytest.mark.parametrize("kind", ["path", "name"])
def test_a_missing_version(spark, lake, kind):
    with pytest.raises(AdaptorError, match=r"at version 7 can't be read: .*7"):
        TableRef(getattr(lake, kind), 7).pinned(spark)


def test_missing_columns_are_named_beside_those_there_are(spark, lake):
    table = TableRef(lake.path)
    require_columns(table.read(spark), ["id", "embedding"], table)
    with pytest.raises(AdaptorError, match=re.escape("has no column 'doc', 'vector'; it has id, title, embedding")):
        require_columns(table.read(spark), ["doc", "id", "vector"], table)


@pytest.mark.parametrize("kind", ["string", "array<string>", "array<int>", "array<array<float>>"])
def test_a_column_of_another_type(spark, kind):
    df = spark.sql(f"SELECT cast(null AS {kind}) AS v")
    with pytest.raises(AdaptorError, match=re.escape(f"column 'v' of t is {kind}; embeddings are array<float>")):
        require_embeddings(df, "v", TableRef("t"))


@pytest.mark.parametrize("kind", ["array<float>", "array<double>"])
def test_a_column_of_embeddings(spark, kind):
    require_embeddings(spark.sql(f"SELECT cast(null AS {kind}) AS v"), "v", TableRef("t"))


def test_rows_under_a_condition(spark, lake):
    table = TableRef(lake.path, 1)
    assert require_rows(table.read(spark), "id > 'd3'", table).count() == 2
    with pytest.raises(AdaptorError, match=r"at version 1 has no rows where id > 'x'"):
        require_rows(table.read(spark), "id > 'x'", table)
    with pytest.raises(AdaptorError, match=re.escape("source.where 'nothing = 1' can't be used: ")):
        require_rows(table.read(spark), "nothing = 1", table)
    with pytest.raises(AdaptorError, match=re.escape("source.where 'id >' can't be used: ")):
        require_rows(table.read(spark), "id >", table)
