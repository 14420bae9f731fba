"""Codes that nest in bytes: any beginning of one is the code of that length, and is searched as an embedding."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from kernels import arrow
from pyspark.sql import functions as F
from scipy.stats import norm
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config

import adaptor
from adaptor import Adaptor, AdaptorError
from adaptor.bits import CELLS, COEFFICIENTS, DISTORTIONS, PLANES, REACH, Cells
from adaptor.config import ConfigError, load_config
from adaptor.encode.code_index import CodeIndex
from adaptor.encode.kernel import Kernel
from adaptor.evaluation.measurement import ADAPTOR, Variant
from adaptor.fitting.closed_forms import query_aware_svd, tempered_svd
from adaptor.fitting.settings import FitSettings
from adaptor.layout import Nested, nested_columns, usual_lengths
from adaptor.metrics import nearest, overlap
from adaptor.spark import adapt_udf, apply_table, decoders, evaluate_table, fit_table, register_scores
from adaptor.spark.tables import TableRef
from adaptor.vectors import normalise, prefix
from benchmarks import data_sets


def mapped(rows=2000, width=48, seed=0):
    """Rows whose later numbers vary less."""
    return np.random.default_rng(seed).normal(0, np.geomspace(1, 0.05, width), (rows, width)).astype(np.float32)


def quiet(line):
    """A report that says nothing."""


@pytest.fixture(scope="module")
def fitted():
    return adaptor.fit(clustered(600), dims=[4, 8], settings=FitSettings(candidates=("svd",)))


# the codec


def test_constants_are_those_of_a_gaussian_cut_into_cells():
    x = np.linspace(-9, 9, 400_001)
    weight = norm.pdf(x) / norm.pdf(x).sum()
    cell = np.clip((x / REACH + 1) * CELLS / 2, 0, CELLS - 1).astype(int)
    signs = np.array([2.0 * (cell >> (PLANES - 1 - plane) & 1) - 1 for plane in range(PLANES)])
    for known in range(1, PLANES + 1):
        least_squares = np.linalg.solve((signs[:known] * weight) @ signs[:known].T, (signs[:known] * weight) @ x)
        assert COEFFICIENTS[known] == pytest.approx(least_squares, abs=2e-4)
        left = (weight * (x - least_squares @ signs[:known]) ** 2).sum()
        assert DISTORTIONS[known] == pytest.approx(left, abs=2e-5)


def test_the_beginning_of_a_code_is_the_shorter_code():
    y = mapped()
    cells = Cells.fit(y)
    longest = cells.codec(cells.most_bytes).encode(y)
    assert longest.shape == (len(y), 48 * PLANES // 8)
    for length in (1, 5, 12, 35):
        codec = cells.codec(length)
        np.testing.assert_array_equal(codec.encode(y), longest[:, :length])
        np.testing.assert_array_equal(codec.decode(longest), codec.decode(codec.encode(y)))


def test_longer_codes_come_closer_to_the_row():
    y = mapped()
    cells, unit = Cells.fit(y), normalise(y)
    similar = []
    for length in (2, 6, 12, 24, 36):
        codec = cells.codec(length)
        decoded = codec.decode(codec.encode(y))
        np.testing.assert_allclose(np.linalg.norm(decoded, axis=1), 1, atol=1e-5)
        similar.append((decoded * unit[:, : codec.width]).sum(axis=1).mean())
    assert similar == sorted(similar)
    assert similar[0] > 0.6
    assert similar[-1] > 0.99


def test_a_scale_on_a_row_changes_nothing():
    y = mapped(50)
    codec = Cells.fit(mapped()).codec(9)
    np.testing.assert_array_equal(codec.encode(y), codec.encode(4 * y))


def test_score_is_the_product_with_what_is_decoded():
    y = mapped()
    codec = Cells.fit(y).codec(12)
    codes = codec.encode(y)
    queries = normalise(mapped(7, seed=1))
    expected = queries[:, : codec.width] @ codec.decode(codes).T
    np.testing.assert_allclose(codec.score(queries, codes), expected, atol=1e-6)


@pytest.mark.parametrize("length", [1, 5, 24, 36])
def test_a_score_is_a_sum_of_bits(length):
    cells, queries = Cells.fit(mapped()), normalise(mapped(7, seed=5))
    codec = cells.codec(length)
    codes = codec.encode(mapped(seed=1))
    signs = 2.0 * np.unpackbits(codes, axis=1) - 1
    told = codec.weights(np.eye(cells.means.size, dtype=np.float32)) @ signs.T  # what the bits say of each number
    known = np.where(codec.planes > 0, cells.means, 0)[:, None]  # the same for all rows
    expected = queries @ (told + known) / np.linalg.norm(told + known, axis=0)
    np.testing.assert_allclose(codec.score(queries, codes), expected, atol=1e-5)


@pytest.mark.parametrize("length", [1, 24, 36])
def test_an_index_finds_what_all_scores_find(length):
    """36 bytes are all planes of 48 numbers; codes may be longer than what is searched."""
    y, queries = mapped(3000), normalise(mapped(20, seed=5))
    cells = Cells.fit(y)
    codec = cells.codec(length)
    codes = cells.codec(36).encode(y)
    scores = codec.score(queries, codes)
    found, rows = CodeIndex(codec, codes).search(queries, 10, listed=3000)
    np.testing.assert_allclose(found, -np.sort(-scores)[:, :10], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(scores, rows, axis=1), found, atol=1e-6)


def test_an_index_lists_few_and_loses_hardly_any():
    y, queries = mapped(20_000), normalise(mapped(50, seed=5))
    codec = Cells.fit(y).codec(12)
    codes = codec.encode(y)
    _, rows = CodeIndex(codec, codes).search(queries, 10)
    expected = np.argsort(-codec.score(queries, codes), axis=1, kind="stable")[:, :10]
    assert overlap(rows, expected).mean() > 0.98


def test_an_index_of_few_rows():
    y = mapped(5)
    codec = Cells.fit(mapped()).codec(6)
    _, rows = CodeIndex(codec, codec.encode(y)).search(normalise(y), 10)
    assert sorted(rows[0]) == [0, 1, 2, 3, 4]
    with pytest.raises(AdaptorError, match="of 6 bytes at least"):
        CodeIndex(codec, np.zeros((3, 5), np.uint8))


@pytest.mark.parametrize("width", [3, 10, 37])
def test_widths_that_are_no_multiple_of_eight(width):
    y = mapped(500, width)
    for length in (*usual_lengths(width), Cells.fit(y).most_bytes):
        codec = Cells.fit(y).codec(length)
        assert codec.decode(codec.encode(y)).shape == (500, codec.width)


def test_wide_rows():
    y = mapped(200, 3072)
    codec = Cells.fit(y).codec(192)
    assert codec.width < 3072
    assert (nearest(normalise(y), codec.decode(codec.encode(y)) @ np.eye(codec.width, 3072, dtype=np.float32), 1)
            == np.arange(200)[:, None]).mean() > 0.95  # fmt: skip


def test_constant_numbers_and_rows_that_are_all_alike():
    y = mapped()
    y[:, 5] = 0
    codec = Cells.fit(y).codec(12)
    decoded = codec.decode(codec.encode(y))
    assert np.isfinite(decoded).all()
    assert not decoded[:, 5].any()
    alike = np.repeat(mapped(1), 50, axis=0)
    codec = Cells.fit(alike).codec(6)
    codes = codec.encode(alike)
    assert (codes == codes[0]).all()
    similar = codec.decode(codes) @ normalise(alike)[0, : codec.width]
    assert (similar > 0.9).all()


def test_a_length_that_there_is_not():
    cells = Cells.fit(mapped())
    for length in (0, 37):
        with pytest.raises(AdaptorError, match=rf"a code has 1 to 36 bytes here, not {length}"):
            cells.codec(length)


# the artifact


def test_an_artifact_has_cells_that_are_saved_and_count(fitted, tmp_path):
    x = clustered(600)
    fitted.save(str(tmp_path))
    loaded = Adaptor.load(str(tmp_path))
    np.testing.assert_array_equal(loaded.encode_code(x, length=4), fitted.encode_code(x, length=4))
    other = replace(fitted.cells, deviations=fitted.cells.deviations * 2)
    assert replace(fitted, cells=other).fingerprint != fitted.fingerprint
    without = replace(fitted, cells=None)
    with pytest.raises(AdaptorError, match="no cells to cut bits by: fit again"):
        without.encode_code(x, length=4)
    with pytest.raises(AdaptorError, match="1 of 600 rows are zero"):
        fitted.encode_code(np.concatenate([x[:599], np.zeros((1, 32))]), length=4)


def test_codes_of_a_32nd_keep_what_full_width_finds():
    """SciFact's abstracts, 48 bytes of 1,536: corpus alone, and by maps whose sides differ."""
    collection = data_sets.load("scifact")[0]
    for sides in (tempered_svd(collection.corpus), query_aware_svd(collection.corpus, collection.learn)):
        y, queries = sides.corpus(collection.corpus), sides.query(collection.test)
        codec = Cells.fit(y).codec(48)
        full = nearest(normalise(queries), normalise(y), 10)
        found = np.argsort(-codec.score(queries, codec.encode(y)), axis=1)[:, :10]
        assert overlap(found, full).mean() > 0.8


# the kernel


@pytest.mark.parametrize("layout", ["columns", "bands", "single"])
def test_the_kernel_writes_the_codes_of_encode(fitted, layout):
    x = clustered(40, seed=2)
    kernel = Kernel(fitted, layout, "bits", dims=(2, 4, 8))
    result = kernel(arrow([*x, np.zeros(32)]))
    assert result.reasons.to_pylist() == [None] * 40 + ["zero"]
    codes = fitted.encode_code(x, length=8)
    for nested, column in zip(kernel.nested, result.columns):
        assert column.type == pa.binary()
        rows = np.array([list(row) for row in column.to_pylist()[:40]], np.uint8)
        assert (rows == codes[:, nested.start : nested.stop]).mean() > 0.999  # a number may lie on a cell's border


def test_columns_of_codes_have_names_of_their_own():
    assert nested_columns("columns", [48, 24], 48, "bits") == (Nested("code_24", 0, 24), Nested("code_48", 0, 48))
    assert nested_columns("bands", [24, 48], 48, "bits") == (Nested("code_0_24", 0, 24), Nested("code_24_48", 24, 48))
    assert nested_columns("single", [24, 48], 48, "bits") == (Nested("code_nested", 0, 48),)
    assert usual_lengths(768) == (48, 96, 192)


def test_bits_of_queries_are_refused(fitted):
    with pytest.raises(AdaptorError, match="queries stay float32"):
        Kernel(fitted, encoding="bits", side="query")


# the jobs


@pytest.fixture(scope="module")
def lake(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bits")
    docs = save_delta(embeddings_frame(spark, clustered(800), [f"d{i:04d}" for i in range(800)]), folder / "docs")
    changes = {
        "bytes": [2, 4, 8],
        "fit": {"candidates": ["svd"]},
        "apply": {"target": str(folder / "codes"), "encoding": "bits", "layout": "bands"},
        "evaluate": {"held_out": 60},
    }
    config = load_config(write_config(folder / "c.yaml", small_config(folder, docs, **changes)))
    fit_table(spark, config, quiet)
    apply_table(spark, config, quiet)
    return spark, config


def test_apply_writes_each_byte_once_and_engines_agree(lake):
    spark, config = lake
    rows = TableRef(config.apply.target).read(spark).orderBy("id")
    assert [name for name in rows.columns if name.startswith("code")] == ["code_0_2", "code_2_4", "code_4_8"]
    fitted = Adaptor.load(config.artifact.folder)
    codes = fitted.encode_code(clustered(800), length=8)
    written = [
        bytes(row.code) for row in rows.select(F.concat("code_0_2", "code_2_4", "code_4_8").alias("code")).collect()
    ]
    assert np.mean([one == code.tobytes() for one, code in zip(written, codes)]) > 0.99
    by_udf = config.model_copy(
        update={"apply": config.apply.model_copy(update={"engine": "pandas_udf", "rebuild": True})}
    )
    before = rows.collect()
    apply_table(spark, by_udf, quiet)
    assert TableRef(config.apply.target).read(spark).orderBy("id").collect() == before


def test_evaluate_searches_the_codes_that_were_written(lake):
    spark, config = lake
    measurement = evaluate_table(spark, config, quiet).measurement
    kept = [measurement.retention(Variant(ADAPTOR, length, "bits")) for length in (2, 4, 8)]
    assert kept == sorted(kept)
    assert kept[-1] > 0.6
    fitted, x = Adaptor.load(config.artifact.folder), clustered(800)
    place = {f"d{i:04d}": i for i in range(800)}
    asked = np.array([place[name] for name in measurement.queries])
    codec = fitted.codec("bits", 8)
    queries = fitted.corpus(x[asked])
    scores = normalise(queries[:, : codec.width]) @ codec.decode(fitted.encode_code(x, length=8)).T
    scores[np.arange(len(asked)), asked] = -np.inf
    found, full = np.argsort(-scores, axis=1)[:, :10], nearest(x[asked], normalise(x), 10, asked)
    neighbours = measurement.of(Variant(ADAPTOR, 8, "bits"), "neighbours@10")
    assert neighbours.mean() == pytest.approx(overlap(found, full).mean(), abs=0.01)


def test_codes_are_decoded_in_sql(lake):
    spark, config = lake
    fitted = Adaptor.load(config.artifact.folder)
    assert decoders.register_decoders(spark, fitted, ["bits"], [2, 4]) == ["decode_bits_2", "decode_bits_4"]
    adapt = adapt_udf(fitted, [4], encoding="bits")
    rows = spark.read.format("delta").load(config.source.table).orderBy("id").limit(20)
    rows.select("id", adapt("embedding").alias("nested")).select("id", "nested.*").createOrReplaceTempView("coded")
    decoded = spark.sql("SELECT decode_bits_2(code_4) AS short, decode_bits_4(code_4) AS long FROM coded").collect()
    codes = fitted.encode_code(clustered(800)[:20], length=4)
    for name, length in (("short", 2), ("long", 4)):
        expected = fitted.codec("bits", length).decode(codes)
        np.testing.assert_allclose(np.array([row[name] for row in decoded]), expected, atol=0.2)
        assert np.abs(np.array([row[name] for row in decoded]) - expected).mean() < 1e-3


def test_codes_are_scored_in_sql_by_queries_as_they_come(lake):
    spark, config = lake
    fitted, x = Adaptor.load(config.artifact.folder), clustered(800)
    assert register_scores(spark, fitted, "bits", [2, 4]) == ["score_bits_2", "score_bits_4"]
    codes = fitted.encode_code(x[:20], length=4)
    rows = [(number, bytearray(code), x[30 + number % 2].tolist()) for number, code in enumerate(codes)]
    rows += [(20, None, x[30].tolist()), (21, bytearray(codes[0]), None)]
    spark.createDataFrame(rows, "id int, code binary, query array<float>").createOrReplaceTempView("asked")
    scored = spark.sql(
        "SELECT score_bits_2(code, query) AS short, score_bits_4(code, query) AS long FROM asked ORDER BY id"
    )
    got = [row.asDict() for row in scored.collect()]
    assert got[20:] == [{"short": None, "long": None}] * 2
    for name, length in (("short", 2), ("long", 4)):
        codec = fitted.codec("bits", length)
        queries = prefix(fitted.map("query")(x[30:32]), codec.width)
        expected = codec.score(queries, codes)[np.arange(20) % 2, np.arange(20)]
        np.testing.assert_allclose([row[name] for row in got[:20]], expected, atol=1e-5)
    with pytest.raises(Exception, match="32 is expected"):
        spark.sql("SELECT score_bits_2(code, array(1f, 2f)) FROM asked").collect()


def test_lengths_that_are_none_are_a_mistake_of_the_config(tmp_path):
    path = write_config(tmp_path / "c.yaml", small_config(tmp_path, "docs", bytes=[24, 24]))
    with pytest.raises(ConfigError, match=r"bytes is .*names a width twice"):
        load_config(path)
