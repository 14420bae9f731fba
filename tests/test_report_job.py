"""The report job: it reads what other jobs left, says what is not there, and writes a page whole or not at all."""

import runpy
from pathlib import Path

import pytest
from pyspark.sql import functions as F
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config
from test_report_page import Page
from typer.testing import CliRunner

import adaptor.report
from adaptor.config import load_config
from adaptor.console.summaries import print_reported
from adaptor.errors import AdaptorError, ConfigError
from adaptor.evaluation import records
from adaptor.spark import apply_table, evaluate_table, fit_table
from adaptor.spark import report as report_job
from adaptor.spark.monitor import monitor_table
from adaptor.spark.report import write_report
from adaptor.spark.runs import SCHEMA

JOB = str(Path(__file__).parents[1] / "jobs" / "report.py")


def quiet(line):
    """A report that says nothing."""


@pytest.fixture(scope="module")
def config(spark, tmp_path_factory):
    """Of a table that was fitted, applied, evaluated twice, and monitored with an alert: it had been quiet for long."""
    folder = tmp_path_factory.mktemp("report")
    docs = save_delta(
        embeddings_frame(spark, clustered(1200), [f"d{i:04d}" for i in range(1200)]).withColumn(
            "lang", F.when(F.col("id") < "d0300", "de").otherwise("<i>en</i>")
        ),
        folder / "docs",
    )
    changes = {
        "fit": {"candidates": ["svd"]},
        "evaluate": {"held_out": 60},
        "monitor": {"alerts": f"{folder}/alerts", "quiet_days": 1e-9},
        "report": {"points": 60, "colour_by": "lang"},
        "rates": {"gigabyte_month": 0.02, "core_hour": 0.05},
    }
    config = load_config(write_config(folder / "c.yaml", small_config(folder, docs, **changes)))
    fit_table(spark, config, quiet)
    apply_table(spark, config, quiet)
    for _ in range(2):
        evaluate_table(spark, config, quiet)
    monitor_table(spark, config, quiet)
    return config


def contents_of(spark, config, monkeypatch):
    """What the job hands to the page."""
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(report_job, "render", lambda contents: seen.append(contents) or "")
        reported = write_report(spark, [config], quiet)
    return seen[0], reported


def test_the_page_shows_what_the_jobs_left(spark, config):
    reported = write_report(spark, [config], quiet)
    assert reported.missing == []
    html = Path(reported.file).read_text()
    assert len(html.encode()) == reported.size
    page = Page(html)
    assert page.loads == []
    headings = ["Quality by width", "Alerts", "Drift", "Quality over runs", "Time, throughput and cost over runs"]
    assert set(headings) <= set(page.headings)
    assert "The rows, before and after" in html
    assert "<i>en</i>" in page.cells  # a label, not a tag
    assert "i" not in page.tags


def test_runs_figures_and_alerts_are_those_of_the_tables(spark, config, monkeypatch):
    contents, _ = contents_of(spark, config, monkeypatch)
    assert sorted(run.job for run in contents.runs) == ["apply", "evaluate", "evaluate", "fit", "monitor"]
    assert all(run.price > 0 and run.seconds > 0 and run.rows > 0 for run in contents.runs)
    (one,) = records.last_of(config.artifact.folder, contents.version)
    last = [figure for figure in contents.quality if figure.at == max(figure.at for figure in contents.quality)]
    assert {figure.dim: figure.value for figure in last} == {
        dim: pytest.approx(one.mean(one.shipped(dim))) for dim in one.dims
    }
    assert [alert.name for alert in contents.alerts] == ["days without a new version"]
    assert {figure.name for figure in contents.drift} >= {"norm", "energy at 4"}
    assert set(contents.embedding_map.labels) == {"de", "<i>en</i>"}


def test_a_table_of_runs_that_is_missing_empty_or_of_an_earlier_release(spark, config, tmp_path, monkeypatch):
    def reported(table):
        return contents_of(spark, config.model_copy(update={"runs": str(table)}), monkeypatch)

    contents, said = reported(tmp_path / "none")
    assert contents.runs == []
    assert said.missing == [f"There is no runs table at {tmp_path}/none: what jobs took is not shown."]
    empty = spark.createDataFrame([], SCHEMA)
    save_delta(empty, tmp_path / "empty")
    _, said = reported(tmp_path / "empty")
    assert said.missing == [f"The runs table {tmp_path}/empty is empty: what jobs took is not shown."]
    earlier = spark.read.format("delta").load(config.runs).drop("price", "error")
    save_delta(earlier, tmp_path / "earlier")
    contents, said = reported(tmp_path / "earlier")
    assert said.missing == []
    assert {run.price for run in contents.runs} == {None}
    save_delta(earlier.where("job = 'apply'"), tmp_path / "one")
    contents, _ = reported(tmp_path / "one")
    assert [run.job for run in contents.runs] == ["apply"]
    with pytest.raises(AdaptorError, match="docs"):
        reported(config.source.table)


def test_ten_rows_make_a_map_and_nine_a_sentence(spark, config, monkeypatch):
    def of_rows(count):
        source = config.source.model_copy(update={"where": f"id < 'd{count:04d}'"})
        return contents_of(spark, config.model_copy(update={"source": source}), monkeypatch)[0]

    assert len(of_rows(10).embedding_map.names) == 10
    nine = of_rows(9)
    assert nine.embedding_map is None
    assert "9 good rows: too few for a map." in nine.missing[0]


def test_a_report_that_fails_leaves_the_one_that_was_there(spark, config, monkeypatch):
    file = Path(write_report(spark, [config], quiet).file)
    before = file.read_bytes()

    def fails(contents):
        raise RuntimeError("no paper")

    monkeypatch.setattr(report_job, "render", fails)
    with pytest.raises(RuntimeError, match="no paper"):
        write_report(spark, [config], quiet)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.glob("report*")] == ["report.html"]


def test_where_nothing_was_measured_the_way_out_is_evaluate(spark, config, tmp_path):
    elsewhere = config.artifact.model_copy(update={"folder": str(tmp_path / "artifact")})
    with pytest.raises(AdaptorError, match=r"nothing was measured .* run jobs/evaluate.py first"):
        write_report(spark, [config.model_copy(update={"artifact": elsewhere})], quiet)


def test_a_prefix_that_is_not_fitted_is_a_mistake_of_the_config(config, tmp_path):
    path = write_config(tmp_path / "c.yaml", small_config(tmp_path, "docs", report={"dim": 5}))
    with pytest.raises(ConfigError, match=r"report.dim is 5, none of dims \[4, 8, 16\]"):
        load_config(path)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, tmp_path):
    path = write_config(tmp_path / "c.yaml", small_config(tmp_path, "docs"))
    monkeypatch.setattr(adaptor.report, "LIBRARIES", ("altair", "no_such_library"))
    result = CliRunner().invoke(runpy.run_path(JOB)["app"], ["--config", path])
    assert result.exit_code == 2
    assert "report: a report needs no_such_library, not installed here; pip install 'matryoshka-adaptor[report]'" in (
        result.output
    )


def test_what_the_job_prints_names_the_file_and_what_is_missing(capsys):
    print_reported(report_job.Reported("lake/r.html", 1_300_000, ["There is no [b]."], 3.2))
    assert capsys.readouterr().out.splitlines() == [
        "note         There is no [b].",
        "report       lake/r.html, 1.3 MB; open it in a browser",
        "took         3 s",
    ]
