"""Batches: petastorm and arrow read the same rows in the same order, and a short read is noticed."""

import re
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from optional import PETASTORM
from synthetic import clustered

from adaptor.errors import AdaptorError
from adaptor.training import batches
from adaptor.training.batches import ArrayBatches, arrow, gather, usual_batches
from adaptor.training.batches.arrow import ArrowBatches
from adaptor.training.batches.petastorm import PetastormBatches

KINDS = [pytest.param(PetastormBatches, marks=PETASTORM), ArrowBatches]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[str, ...]:
    """Two folders of 12 Parquet files with several row groups: 250 rows in all."""
    rows = iter(np.array_split(clustered(250), 24))
    urls = []
    for name in ("train", "held_out"):
        folder = tmp_path_factory.mktemp(name)
        for number in range(12):
            column = pa.array(list(next(rows)), pa.list_(pa.float32()))
            pq.write_table(pa.table({"embedding": column}), folder / f"part-{number:05d}.parquet", row_group_size=4)
        urls.append(folder.as_uri())
    return tuple(urls)


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_in_order(folders, kind):
    result = gather(kind(folders, 250))
    np.testing.assert_array_equal(result.numpy(), clustered(250))


@pytest.mark.parametrize("kind", KINDS)
def test_they_can_be_read_again(folders, kind):
    read = kind(folders, 250)
    np.testing.assert_array_equal(gather(read).numpy(), gather(read).numpy())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("first", "end"), [(0, 250), (0, 83), (83, 166), (166, 250), (5, 6), (124, 127)])
def test_a_part_is_the_rows_between_two_numbers(folders, kind, first, end):
    np.testing.assert_array_equal(gather(kind(folders, 250).part(first, end)).numpy(), clustered(250)[first:end])
    inner = kind(folders, 250).part(first, end).part(1, end - first) if end - first > 1 else None
    if inner is not None:
        np.testing.assert_array_equal(gather(inner).numpy(), clustered(250)[first + 1 : end])


def test_arrow_reads_no_row_group_beside_its_part(folders, monkeypatch):
    read = []
    tensors = arrow._tensors
    monkeypatch.setattr(arrow, "_tensors", lambda file, group: read.append(group) or tensors(file, group))
    gather(ArrowBatches(folders, 250).part(100, 150))
    assert len(read) < 250 / 4 / 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_that_ends_early_is_noticed(folders, kind):
    with pytest.raises(AdaptorError, match=f"{kind.__name__}: 10 rows were written, 5 arrived"):
        gather(kind(folders, 255).part(245, 255))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("written", [249, 251])
def test_a_wrong_count_is_noticed(folders, kind, written):
    message = f"{kind.__name__}: {written} rows were written, 250 arrived; run the fit again"
    with pytest.raises(AdaptorError, match=re.escape(message)):
        gather(replace(kind(folders, 250), rows=written))


def test_arrow_reads_where_petastorm_is_missing_and_a_line_says_so(monkeypatch):
    said = []
    monkeypatch.setattr(batches, "find_spec", lambda name: None)
    assert usual_batches(said.append) == "arrow"
    assert said == ["petastorm is not installed: Arrow reads the sample for training"]
    monkeypatch.setattr(batches, "find_spec", lambda name: name)
    assert usual_batches(said.append) == "petastorm"
    assert len(said) == 1


def test_a_matrix_in_memory():
    x = clustered(5)
    np.testing.assert_array_equal(gather(ArrayBatches(x)).numpy(), x)
    np.testing.assert_array_equal(gather(ArrayBatches(x).part(1, 3)).numpy(), x[1:3])


@pytest.mark.parametrize("kind", KINDS)
def test_any_file_system_is_read(folders, kind):
    """Also one that pyarrow does not know by its scheme, such as s3a."""
    memory, local = fsspec.filesystem("memory"), fsspec.filesystem("file")
    for number, url in enumerate(folders):
        for file in local.ls(fsspec.core.strip_protocol(url), detail=False):
            memory.pipe_file(f"/sample/{number}/{Path(file).name}", Path(file).read_bytes())
    urls = ("memory://sample/0", "memory://sample/1")
    np.testing.assert_array_equal(gather(kind(urls, 250)).numpy(), clustered(250))
