"""What a newcomer meets: mistakes said before the work, figures that mean something, nothing left behind."""

import pytest
from applying import Bench
from synthetic import clustered

from adaptor import AdaptorError
from adaptor.console.app import console
from adaptor.console.summaries import print_plan
from adaptor.errors import ConfigError
from adaptor.spark import apply_table, evaluate_table, fit_table
from adaptor.spark.apply import plan_apply


def quiet(line):
    """A report that says nothing."""


def failures(bench, config):
    rows = bench.spark.read.format("delta").load(config.runs).where("metric = 'failed'").orderBy("started_at").collect()
    return [(row.job, row.error) for row in rows]


def test_dims_above_the_width_are_refused_before_the_table_is_sampled(bench):
    said = []
    with pytest.raises(AdaptorError, match=r"dim 64 is above the width of the embeddings of .*docs, 32"):
        fit_table(bench.spark, bench.config("nested").model_copy(update={"dims": (8, 64)}), said.append)
    assert said == []


def test_first_rows_that_are_odd_do_not_refuse_a_dim(spark, tmp_path):
    bench = Bench(spark, tmp_path)
    bench.save([*clustered(120, width=4), *clustered(300)], [f"d{i:03d}" for i in range(420)], files=1)
    said = []
    fit_table(spark, bench.config("nested"), said.append)
    assert "set aside: 120 rows, width 4 instead of 32" in said


@pytest.mark.parametrize("job", ["fit", "apply", "evaluate"])
def test_a_run_that_fails_has_a_row_with_its_cause(bench, job):
    config = bench.config("nested")
    if job == "fit":
        config = config.model_copy(update={"dims": (64,)})
    elif job == "apply":
        config = config.model_copy(update={"source": config.source.model_copy(update={"embedding": "vector"})})
    with pytest.raises(AdaptorError) as caught:
        {"fit": fit_table, "apply": apply_table, "evaluate": evaluate_table}[job](bench.spark, config, quiet)
    assert failures(bench, config) == [(job, str(caught.value))]


def test_runs_of_an_earlier_release_get_the_column_of_causes(bench):
    bench.apply("nested")
    config = bench.config("nested")
    old = bench.spark.read.format("delta").load(config.runs).drop("error")
    old.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(config.runs)
    with pytest.raises(AdaptorError):
        fit_table(bench.spark, config.model_copy(update={"dims": (64,)}), quiet)
    assert [job for job, _ in failures(bench, config)] == ["fit"]


def test_rows_are_those_that_source_where_leaves(bench):
    bench.apply("nested", source={"where": "id < 'd010'"})
    assert not any("103" in line for line in bench.said), bench.said


def test_a_dry_run_says_what_is_saved_and_leaves_nothing(bench):
    config = bench.config("nested", price_per_core_hour=1.0)
    plan = plan_apply(bench.spark, config, quiet)
    assert (plan.bytes_before, plan.bytes_out[8]) == (103 * 32 * 4, 103 * 8 * 4)
    with console.capture() as shown:
        print_plan(plan)
    assert "3.3 kB of numbers at 8, 75.0% less than the 13.2 kB of the vectors as they are" in shown.get()
    assert "0.00" not in shown.get()
    assert not list((bench.folder / "sample").glob("*"))


def test_an_evaluation_of_another_artifact_says_how_to_replace_the_target(bench):
    bench.apply("nested")
    config = bench.config("nested")
    always = config.artifact.model_copy(update={"promote": "always"})
    fit_table(bench.spark, config.model_copy(update={"artifact": always}), quiet)
    with pytest.raises(AdaptorError, match=r"now holds \w+; run jobs/apply.py with --set apply.rebuild=true"):
        evaluate_table(bench.spark, config, quiet)
    bench.apply("nested", rebuild=True)
    assert evaluate_table(bench.spark, config, quiet).dims == (4, 8, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"view": "prefixes"}, "view puts bands together, and layout: columns has none; take it out"),
        (
            {"view": "prefixes", "layout": "bands", "encoding": "int8"},
            "view can't decode int8; take it out, and call adaptor.spark.register_decoders",
        ),
    ],
)
def test_a_view_that_would_be_ignored(bench, settings, message):
    with pytest.raises(ConfigError, match=message):
        bench.config("nested", **settings)


def test_a_view_that_would_end_with_the_job(bench):
    with pytest.raises(AdaptorError, match=r"apply.view prefixes would end with this job, whose catalog is kept in"):
        bench.apply("nested", layout="bands", view="prefixes")
    assert not (bench.folder / "nested").exists()
