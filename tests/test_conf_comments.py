"""Numbers in the comments of conf/ follow from the constants that they speak of."""

import re
from pathlib import Path

import pytest

from adaptor.config import WorkersSettings, load_config
from adaptor.encode.kernel import BATCH_BYTES, rows_per_batch
from adaptor.fitting.judge import BLOCK
from adaptor.metrics import SEARCH_BLOCK
from adaptor.spark.sampling import HELD_OUT_MOST
from adaptor.training.objectives.nearest import NEIGHBOUR_BLOCK
from adaptor.training.workers.executors import START_SECONDS

CONF = Path(__file__).parents[1] / "conf"
WIDTH = 768  # that the comments reckon with
WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}


@pytest.fixture(scope="module")
def said() -> str:
    """The comments of cluster.yaml as one line."""
    lines = [line.partition("#")[2].strip() for line in (CONF / "cluster.yaml").read_text().splitlines()]
    return re.sub(r"\s+", " ", " ".join(lines))


@pytest.fixture(scope="module")
def config():
    return load_config(str(CONF / "cluster.yaml"))


def test_memory_of_a_worker(said, config):
    rows = config.sample.rows
    assert f"sample.rows x width x 4 bytes = {rows:,} x {WIDTH} x 4 = {rows * WIDTH * 4 / 1e9:.1f} GB" in said
    assert f"searches neighbours {SEARCH_BLOCK:,} rows at a time in blocks of {NEIGHBOUR_BLOCK:,}" in said
    assert f"({SEARCH_BLOCK * NEIGHBOUR_BLOCK * 4 / 1e9:.1f} GB)" in said
    assert f"judges {HELD_OUT_MOST:,} held-out rows against {BLOCK:,} others at a time" in said
    assert config.workers.whole_sample_bytes == WorkersSettings().whole_sample_bytes


def test_gradients_of_a_step(said):
    assert f"2 x width x hidden x 4 bytes = {2 * WIDTH * WIDTH * 4 / 1e6:.1f} MB at width {WIDTH}" in said


def test_a_batch_of_apply(said, config):
    out = sum(config.dims)
    rows = rows_per_batch(WIDTH, out, BATCH_BYTES)
    assert f"are {BATCH_BYTES >> 20} MiB: {rows:,} rows of {WIDTH} and {out}" in said


def test_the_target_s_size(said, config):
    out = sum(config.dims)
    assert f"10 million x {out} x 4 bytes = {10e6 * out * 4 / 1e9:.0f} GB" in said
    assert f"beside a source of {10e6 * WIDTH * 4 / 1e9:.0f} GB" in said


def test_rows_of_a_step(said, config):
    training = config.fit.training
    rows = training.batch * training.batches_per_step
    assert f"{training.batch} x {training.batch} cosines" in said
    assert f"{training.batches_per_step} x {training.batch} = {rows:,} rows a step" in said


def test_how_long_a_fit_waits_for_its_workers(said):
    assert f"with fewer the fit waits {WORDS[START_SECONDS // 60]} minutes" in said
