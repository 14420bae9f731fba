"""A sample of a table of many files reads few of them, and is a fair one."""

from collections import Counter

import numpy as np
import pytest
from pyspark.sql import functions as F
from synthetic import embeddings_frame, small_config, write_config

from adaptor.config import load_config
from adaptor.spark.file_sample import FEWEST_FILES, design_effect, files_for, files_needed, likeness_of
from adaptor.spark.fit import fit_table
from adaptor.spark.tables import TableRef, restricted

FILES, ROWS = 200, 8000
WIDTH = 8


def config(folder, **changes):
    sample = {"folder": str(folder / "sample"), "rows": 400} | changes.pop("sample", {})
    document = small_config(folder, str(folder / "docs"), sample=sample, dims=[2, 4], **changes)
    return load_config(write_config(folder / "config.yaml", document))


def table(spark, folder, sort: bool = False):
    """8,000 rows of width 8 in 200 files, whose kind is the sign of their first number; sorted by it or not."""
    x = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    df = embeddings_frame(spark, x, [f"d{row:05d}" for row in range(ROWS)]).withColumn(
        "kind", F.expr("embedding[0] > 0")
    )
    parted = df.repartitionByRange(FILES, F.expr("embedding[0]")) if sort else df.repartition(FILES, "id")
    parted.write.format("delta").partitionBy("kind").save(str(folder / "docs"))
    return TableRef(str(folder / "docs")).pinned(spark)


@pytest.fixture(scope="module")
def mixed(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return folder, table(spark, folder)


def draw(spark, folder, ref, said=None, **changes):
    settings = config(folder, **changes)
    rows = restricted(ref.read(spark), settings.source.where)
    return files_for(spark, ref, settings.source, rows, settings.sample, (said if said is not None else []).append)


def test_few_files_are_read_and_which_ones_follows_from_the_seed(spark, mixed):
    drawn = draw(spark, *mixed)
    assert (drawn.files, drawn.of_files) == (FEWEST_FILES, 2 * FILES)
    assert drawn.byte_share < 0.13
    assert drawn.design_effect < 2
    assert "40 of 400 files are read" in drawn.sentence
    ids = {row.id for row in drawn.rows.select("id").collect()}
    assert len(ids) > 400
    assert ids == {row.id for row in draw(spark, *mixed).rows.select("id").collect()}
    other = draw(spark, *mixed, sample={"seed": 1})
    assert len(ids & {row.id for row in other.rows.select("id").collect()}) < 0.5 * len(ids)


def test_a_fit_says_what_it_read(spark, mixed):
    said: list[str] = []
    fitted = fit_table(spark, config(mixed[0], fit={"effort": "quick"}), said.append)
    assert any("sample: 40 of 400 files are read" in line for line in said)
    assert 300 < fitted.report.held_out_rows + fitted.adaptor.config["rows"] < 560
    assert fitted.report.origin.sample.startswith("40 of 400 files")


def test_all_rows_are_looked_at_where_that_is_asked_for(spark, mixed):
    assert draw(spark, *mixed, sample={"exact": True}) is None
    assert draw(spark, *mixed, sample={"stratum": "kind"}) is None
    assert draw(spark, *mixed, sample={"rows": 4000}) is None  # half of the rows


def test_files_that_hold_no_row_in_question_are_not_drawn(spark, mixed):
    drawn = draw(spark, *mixed, source={"table": str(mixed[0] / "docs"), "where": "kind"})
    assert drawn.rows.where("NOT kind").isEmpty()
    assert drawn.files == FEWEST_FILES


def test_rows_marked_as_deleted_do_not_count(spark, tmp_path):
    ref = table(spark, tmp_path)
    spark.sql(f"ALTER TABLE delta.`{ref.path}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = true)")
    spark.sql(f"DELETE FROM delta.`{ref.path}` WHERE id >= 'd00600'")
    left = draw(spark, tmp_path, TableRef(ref.path).pinned(spark))
    assert left is None  # 400 of 600 rows: what was marked does not make the share look small


def test_without_row_counts_every_row_is_looked_at(spark, tmp_path):
    with_counts = "spark.databricks.delta.stats.collect"
    spark.conf.set(with_counts, "false")
    try:
        ref = table(spark, tmp_path)
    finally:
        spark.conf.unset(with_counts)
    said: list[str] = []
    assert draw(spark, tmp_path, ref, said) is None
    assert "without row counts in its log, so every row is looked at" in said[0]


def test_more_files_are_read_where_each_holds_rows_of_one_kind(spark, tmp_path):
    ref = table(spark, tmp_path, sort=True)
    drawn = draw(spark, tmp_path, ref, sample={"rows": 800})
    assert drawn is None or drawn.files > 2 * FEWEST_FILES


def test_how_alike_rows_of_a_file_are():
    draws = np.random.default_rng(0)
    mixed = [draws.normal(size=(50, 4)) for _ in range(20)]
    assert likeness_of(mixed) < 0.03
    sorted_ = [group + 10 * number for number, group in enumerate(mixed)]
    assert likeness_of(sorted_) > 0.95
    assert design_effect(1, 0.5) == 1
    assert design_effect(11, 0.1) == pytest.approx(2)


def test_estimates_are_fair_over_many_seeds():
    """Mean and second moment from drawn files, rows inside by their hash: no more than chance away from the table's."""
    draws = np.random.default_rng(0)
    sizes = draws.integers(500, 4000, 400)
    values = np.repeat(draws.normal(size=400), sizes) + draws.normal(size=sizes.sum())  # files differ
    file_of = np.repeat(np.arange(400), sizes)
    count = files_needed(400, 5000, sizes.sum())
    counted: Counter[str] = Counter()
    for power, name in ((1, "mean"), (2, "second moment")):
        estimates = []
        for seed in range(200):
            chosen = np.random.default_rng(seed).permutation(400)[:count]
            inside = np.isin(file_of, chosen)
            rate = 5000 / sizes[chosen].sum()
            picked = inside & (np.random.default_rng(1000 + seed).random(len(values)) < rate)
            estimates.append((values[picked] ** power).mean())
        off = abs(np.mean(estimates) - (values**power).mean()) / (np.std(estimates) / 200**0.5)
        counted[name] = off < 3
    assert counted == {"mean": True, "second moment": True}
