"""The jobs: `adaptor fit | apply | evaluate | monitor | report`, and the files in jobs/ that spark-submit takes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from adaptor.config import load_config, load_configs
from adaptor.console.app import ALERTS, ConfigFile, ConfigFiles, JUnit, Overrides, example, one_sentence

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what a full run would do and cost.")]
Freeze = Annotated[
    str | None, typer.Option("--freeze", metavar="NAME", help="Keeps the run for rules to compare with.")
]
Trec = Annotated[str | None, typer.Option("--trec", metavar="FOLDER", help="Writes TREC's run and qrels files.")]


def fit(config: ConfigFile, overrides: Overrides = []) -> None:
    """Sample the source table, compare the candidates on held-out rows, publish the best as an artifact."""
    with one_sentence("fit"):
        settings = load_config(config, overrides)
        if settings.fit.tune:
            from adaptor.fitting.tuning import require_optuna

            require_optuna()
        if settings.tracking:
            from adaptor.spark.tracking import require_mlflow

            require_mlflow(settings.tracking.uri)
        from adaptor.console.progress import at_work
        from adaptor.console.summaries import print_fitted
        from adaptor.spark.fit import fit_table

        with at_work("matryoshka fit") as (spark, progress):
            fitted = fit_table(spark, settings, progress)
        print_fitted(fitted)


def apply(config: ConfigFile, overrides: Overrides = [], dry_run: DryRun = False) -> None:
    """Write nested-dimension columns for every row of the source; bad rows are set aside with a reason."""
    with one_sentence("apply"):
        settings = load_config(config, overrides, section="apply")
        from adaptor.console.progress import at_work
        from adaptor.console.summaries import print_applied, print_plan
        from adaptor.spark.apply import apply_table, plan_apply

        if dry_run:
            with at_work("matryoshka apply") as (spark, progress):
                plan = plan_apply(spark, settings, progress)
            print_plan(plan)
            return
        with at_work("matryoshka apply") as (spark, progress):
            applied = apply_table(spark, settings, progress)
        print_applied(applied)


def evaluate(
    config: ConfigFiles,
    overrides: Overrides = [],
    freeze: Freeze = None,
    trec: Trec = None,
    junit: JUnit = None,
) -> None:
    """Measure the written columns with queries and judgments, or by neighbours; add the figures to runs."""
    with one_sentence("evaluate"):
        settings = load_configs(config, overrides, section="evaluate")
        from adaptor.console.evaluation import conclude_gates, print_evaluated
        from adaptor.console.progress import at_work
        from adaptor.spark.evaluate import evaluate_tables

        with at_work("matryoshka evaluate") as (spark, progress):
            evaluated = evaluate_tables(spark, settings, progress, freeze, trec)
        print_evaluated(evaluated)
        conclude_gates(evaluated, junit)


def monitor(config: ConfigFile, overrides: Overrides = []) -> None:
    """Read a sample, compare it with the fit's own rows, tell who is to hear; exit code 4 where there are alerts."""
    with one_sentence("monitor"):
        settings = load_config(config, overrides)
        from adaptor.console.monitoring import print_monitored
        from adaptor.console.progress import at_work
        from adaptor.spark.monitor import monitor_table

        with at_work("matryoshka monitor") as (spark, progress):
            monitored = monitor_table(spark, settings, progress)
        print_monitored(monitored)
    if monitored.alerts:
        sys.exit(ALERTS)


def report(config: ConfigFiles, overrides: Overrides = []) -> None:
    """Read an artifact's measurements, the runs table and the alerts; write an HTML file that needs no network."""
    with one_sentence("report"):
        settings = load_configs(config, overrides)
        from adaptor.report import require_libraries

        require_libraries()
        from adaptor.console.progress import at_work
        from adaptor.console.summaries import print_reported
        from adaptor.spark.report import write_report

        with at_work("matryoshka report") as (spark, progress):
            reported = write_report(spark, settings, progress)
        print_reported(reported)


JOBS: tuple[Callable[..., None], ...] = (fit, apply, evaluate, monitor, report)


def submitted(job: Callable[..., None]) -> typer.Typer:
    """The job as the one command of a file that spark-submit takes."""
    app = typer.Typer(add_completion=False)
    app.command(epilog=example(f"spark-submit jobs/{job.__name__}.py"))(job)
    return app
