"""The notebooks, run from their first cells to their last: what they show is right, and as it was when kept."""

import re
import runpy
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from nbclient import NotebookClient

from adaptor import Adaptor
from adaptor.config import load_config
from adaptor.spark.apply import apply_table
from adaptor.spark.evaluate import evaluate_table
from adaptor.spark.fit import fit_table

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {path.stem: path for path in (ROOT / "notebooks").glob("*.ipynb")}
ABSOLUTE_PATH = re.compile(r"(?<![\w<.:/])/[a-z]+/[\w.-]+/")
NUMBER = re.compile(r"-?\d+\.\d+")
AT_MOST = 0.02  # what a figure may differ by: other processors round otherwise, and a trained map amplifies that
SCIFACT = ROOT / "data" / "scifact"


def write_subset(folder, queries=12, documents=600):
    """The first queries, every document judged for them, and others up to `documents`."""
    folder.mkdir()
    subset = pq.read_table(SCIFACT / "queries.parquet").sort_by("id").slice(0, queries)
    judged = pyarrow.csv.read_csv(SCIFACT / "qrels.tsv", parse_options=pyarrow.csv.ParseOptions(delimiter="\t"))
    judged = judged.filter(pc.is_in(judged[0].cast("string"), subset["id"]))
    corpus = pq.read_table(SCIFACT / "corpus.parquet")
    judged_rows = pc.is_in(corpus["id"], judged[1].cast("string").combine_chunks())
    subset_of_corpus = pyarrow.concat_tables([corpus.filter(judged_rows), corpus.filter(pc.invert(judged_rows))]).slice(
        0, documents
    )
    pq.write_table(subset, folder / "queries.parquet")
    pq.write_table(subset_of_corpus, folder / "corpus.parquet")
    pyarrow.csv.write_csv(judged, folder / "qrels.tsv", pyarrow.csv.WriteOptions(delimiter="\t"))
    return subset_of_corpus.to_pandas(), subset.to_pandas()


@pytest.fixture(scope="module")
def small(spark, tmp_path_factory):
    """A lake with 600 documents: its folder, documents, queries, and what evaluate found."""
    root = tmp_path_factory.mktemp("notebook")
    lake = root / "lake"
    documents, queries = write_subset(root / "scifact")
    runpy.run_path(str(ROOT / "tools" / "load_collection.py"))["main"](str(root / "scifact"), f"{lake}/scifact")
    conf = root / "quickstart.yaml"
    conf.write_text((ROOT / "conf" / "quickstart.yaml").read_text().replace(" lake/", f" {lake}/"))
    config = load_config(str(conf), ["fit.candidates=[svd]"])
    fit_table(spark, config, print)
    apply_table(spark, config, print)
    return lake, documents, queries, evaluate_table(spark, config, print)


def run(name, **environment):
    """What each code cell shows, by the cell's id."""
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, str(value))
        NotebookClient(
            notebook, timeout=None, startup_timeout=600, resources={"metadata": {"path": str(ROOT / "notebooks")}}
        ).execute()
    return shown(notebook)


def shown(notebook):
    """The text of each code cell's outputs, by the cell's id."""
    return {
        cell.id: "".join(
            output.get("text") or output["data"]["text/plain"]
            for output in cell.outputs
            if output.get("name") != "stderr"
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


def require_as_kept(name, outputs):
    """The same words as in the repository, and about the same numbers."""
    for cell, kept in shown(nbformat.read(NOTEBOOKS[name], as_version=4)).items():
        words = [" ".join(NUMBER.sub("#", text).split()) for text in (kept, outputs[cell])]
        assert words[0] == words[1], cell
        numbers = [[float(number) for number in NUMBER.findall(text)] for text in (kept, outputs[cell])]
        assert numbers[1] == pytest.approx(numbers[0], abs=AT_MOST), cell


@pytest.fixture(scope="module")
def outputs(small):
    return run("querying_nested_tables", ADAPTOR_LAKE=small[0])


def ranked(small, dim):
    """For each query the documents' row numbers, nearest first, by NumPy alone."""
    lake, documents, queries, _ = small
    rows, questions = np.stack(documents["embedding"]), np.stack(queries["embedding"])
    if dim is not None:
        adaptor = Adaptor.load(f"{lake}/scifact/artifact")
        rows, questions = adaptor.encode(rows, dim=dim), adaptor.encode(questions, dim=dim, side="query")
    return np.argsort(-questions @ rows.T, axis=1)


def test_neighbours_at_both_widths_are_the_nearest_documents(small, outputs):
    titles = small[1]["title"].str.slice(0, 60)
    for dim in (64, 192):
        shown = outputs[f"dataframe-{dim}"]
        places = [shown.index(titles[row]) for row in ranked(small, dim)[0, :5]]
        assert places == sorted(places), f"the five nearest at {dim} in their order"


def test_sql_finds_what_dataframes_found(small, outputs):
    ids = [line.split()[1] for line in outputs["dataframe-64"].splitlines()[1:6]]
    assert ids == list(small[1]["id"][ranked(small, 64)[0, :5]])
    assert [line.split()[1] for line in outputs["sql"].splitlines()[1:6]] == ids


def test_adapt_in_sql_finds_the_nearest_title_of_each_query(small, outputs):
    for text, row in zip(small[2]["text"][:10], ranked(small, 64)[:10, 0], strict=True):
        assert text[:60] in outputs["udf"]
        assert small[1]["title"][row][:60] in outputs["udf"]


def test_full_width_neighbours_and_the_share_found_again(small, outputs):
    full = ranked(small, None)[:10, :10]
    for row in full[0]:
        assert small[1]["title"][row][:60] in outputs["full"]
    shares = {
        f"at_{dim}": [len(set(a) & set(b)) / 10 for a, b in zip(ranked(small, dim)[:10, :10], full, strict=True)]
        for dim in (192, 64)
    }
    assert outputs["overlap"] == str(pd.DataFrame(shares, index=pd.Index(small[2]["id"][:10], name="query")))


def test_runs_shows_the_figures_of_evaluate(small, outputs):
    shown = {float(number) for number in re.findall(r"0\.\d+", outputs["runs"])}
    for candidate, dim in (("adaptor", 64), ("truncation", 192), ("original", 384)):
        assert round(small[3].value(candidate, dim), 4) in shown


def test_two_steps_find_the_ten_nearest_of_full_width_that_are_on_the_short_list(small, outputs):
    full, short = ranked(small, None)[:10, :10], ranked(small, 64)[:10, :100]
    expected = sum(len(set(one) & set(others)) for one, others in zip(full, short, strict=True))
    assert outputs["two-steps"].startswith(f"{expected} of 100 of the full width's ten nearest")


def test_a_view_over_bands_finds_what_the_column_finds(outputs):
    ids = [line.split()[1] for line in outputs["dataframe-64"].splitlines()[1:6]]
    assert [line.split()[1] for line in outputs["bands"].splitlines()[-5:]] == ids
    assert "['id', 'embedding_0_64', 'embedding_64_192']" in outputs["bands"]


@pytest.mark.slow
def test_choosing_shows_what_each_width_keeps_and_what_is_enough(small):
    lake, evaluated = small[0], small[3]
    outputs = run("choosing_a_dimension", ADAPTOR_LAKE=lake, ADAPTOR_CONFIG=lake.parent / "quickstart.yaml")
    measurement = evaluated.measurement
    for line, dim in zip(outputs["widths"].splitlines()[2:], evaluated.dims, strict=True):
        assert float(line.split()[1]) == pytest.approx(measurement.retention(measurement.shipped(dim)), abs=5e-4)
    assert evaluated.recommendation.sentence() in outputs["recommend"]  # retention >= 0.95 is the config's own


def test_text_to_images_is_as_kept():
    require_as_kept("text_to_images", run("text_to_images"))


@pytest.mark.slow
def test_from_a_table_to_nested_columns_is_as_kept():
    require_as_kept("from_table_to_nested_columns", run("from_table_to_nested_columns"))


@pytest.mark.slow
def test_notebooks_of_the_quickstart_are_as_kept(spark, tmp_path):
    """On a lake made by the quickstart's steps, so of the same rows, fit and queries."""
    runpy.run_path(str(ROOT / "tools" / "load_collection.py"))["main"](str(SCIFACT), f"{tmp_path}/lake/scifact")
    conf = tmp_path / "quickstart.yaml"
    conf.write_text((ROOT / "conf" / "quickstart.yaml").read_text().replace(" lake/", f" {tmp_path}/lake/"))
    config = load_config(str(conf))
    for step in (fit_table, apply_table, evaluate_table):
        step(spark, config, print)
    for name in ("querying_nested_tables", "choosing_a_dimension"):
        outputs = run(name, ADAPTOR_LAKE=tmp_path / "lake", ADAPTOR_CONFIG=conf)
        require_as_kept(name, outputs)


@pytest.mark.parametrize("name", sorted(NOTEBOOKS))
def test_is_kept_with_what_it_shows_and_nothing_of_a_machine(name):
    text = NOTEBOOKS[name].read_text()
    assert "/tmp/" not in text
    assert not ABSOLUTE_PATH.search(text)
    cells = [cell for cell in nbformat.read(NOTEBOOKS[name], as_version=4).cells if cell.cell_type == "code"]
    assert len(cells) <= 13
    assert sum(bool(cell.outputs) for cell in cells) >= len(cells) - 2
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)
