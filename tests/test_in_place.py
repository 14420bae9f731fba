"""`target: same`: the nested columns come into the source itself, in one commit, and can be taken back."""

import numpy as np
import pytest
from applying import ADAPTOR, vectors

from adaptor import AdaptorError
from adaptor.errors import ConfigError


def test_columns_are_added_and_no_row_is_lost(bench):
    bench.sql("ALTER TABLE docs ADD CONSTRAINT named CHECK (id IS NOT NULL)")
    bench.sql("ALTER TABLE docs ADD COLUMN tags ARRAY<STRING>")
    before, commits = bench.rows("docs"), bench.versions("docs")
    applied = bench.apply("same", target="same", carry=[])
    after = bench.rows("docs")
    assert bench.versions("docs") == commits + 1
    assert [row[:4] for row in after] == [row[:4] for row in before]
    for row in after[:100]:
        np.testing.assert_allclose(row.embedding_8, ADAPTOR.encode([row.embedding], dim=8)[0], atol=1e-6)
    assert [row.embedding_8 for row in after[100:]] == [None] * 3
    assert (applied.written, sum(applied.bad_rows.values())) == (103, 3)
    assert {row.id for row in bench.rows("docs_quarantine")} == {"d100", "d101", "d102"}
    properties = bench.sql("DESCRIBE DETAIL docs")[0].properties
    assert properties["delta.constraints.named"] == "id IS NOT NULL"
    assert properties["matryoshka.fingerprint"] == ADAPTOR.fingerprint

    bench.spark.sql(applied.way_back)
    assert bench.rows("docs") == before


def test_a_partitioned_source_stays_partitioned(bench):
    docs = bench.spark.read.format("delta").load(bench.docs).selectExpr("*", "substr(id, 2, 1) AS part")
    docs.write.format("delta").mode("overwrite").option("overwriteSchema", True).partitionBy("part").save(bench.docs)
    bench.apply("same", target="same", carry=[])
    assert bench.sql("DESCRIBE DETAIL docs")[0].partitionColumns == ["part"]
    rows = bench.rows("docs")
    assert [row.part for row in rows] == [row.id[1] for row in rows]
    assert len(rows) == 103


def test_rows_that_came_later_get_their_columns_next_time(bench):
    bench.apply("same", target="same", carry=[])
    bench.save(vectors(5, bad=False, seed=1), [f"e{i}" for i in range(5)], mode="append")
    assert sum(row.embedding_4 is None for row in bench.rows("docs")) == 8
    bench.apply("same", target="same", carry=[])
    assert sum(row.embedding_4 is None for row in bench.rows("docs")) == 3
    assert bench.apply("same", target="same", carry=[]).written == 0


def test_what_can_not_be_done_in_place(bench):
    with pytest.raises(ConfigError, match="target: same keeps every column of the source; take carry out"):
        bench.config("same", target="same")
    with pytest.raises(ConfigError, match="target: same needs mode: full, not incremental"):
        bench.config("same", target="same", carry=[], mode="incremental")
    with pytest.raises(AdaptorError, match=r"take source.where and .version out"):
        bench.apply("same", target="same", carry=[], source={"where": "id < 'd050'"})
    assert bench.versions("docs") == 1
