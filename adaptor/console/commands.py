"""The command `adaptor`: the jobs, and versions, compare, gate, recommend, promote and rollback after a fit."""

from __future__ import annotations

from typing import Annotated

import typer

from adaptor.config import load_config
from adaptor.console.app import ConfigFile, JUnit, Overrides, example, one_sentence
from adaptor.console.jobs import JOBS

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Fit an adaptor, apply it, judge it, and release the versions of an artifact.",
)
for job in JOBS:
    app.command(epilog=example(f"adaptor {job.__name__}"), rich_help_panel="Jobs")(job)

AVersion = Annotated[str | None, typer.Option("--version", help="A version's name; the candidate by default.")]


@app.command()
def versions(config: ConfigFile, overrides: Overrides = []) -> None:
    """List the versions: what each is made of, which is current, which a candidate."""
    with one_sentence("versions"):
        settings = load_config(config, overrides)
        from adaptor.console.summaries import print_versions
        from adaptor.release import Versions

        print_versions(Versions(settings.artifact.folder))


@app.command()
def compare(config: ConfigFile, overrides: Overrides = [], version: AVersion = None) -> None:
    """Set the candidate beside the current version: the same rows and queries, paired intervals, a sentence."""
    with one_sentence("compare"):
        settings = load_config(config, overrides, section="evaluate")
        from adaptor.console.evaluation import print_comparison
        from adaptor.console.progress import at_work
        from adaptor.spark.compare import compare_versions

        with at_work("matryoshka compare") as (spark, progress):
            comparison = compare_versions(spark, settings, progress, version)
        print_comparison(comparison)


@app.command()
def gate(config: ConfigFile, overrides: Overrides = [], version: AVersion = None, junit: JUnit = None) -> None:
    """Measure the candidate, or else the current version, through its map, and judge it by the rules of the gate."""
    with one_sentence("gate"):
        settings = load_config(config, overrides, section="gate")
        from adaptor.console.evaluation import conclude_gates, print_gate
        from adaptor.console.progress import at_work
        from adaptor.spark.compare import gate_version

        with at_work("matryoshka gate") as (spark, progress):
            evaluated = gate_version(spark, settings, progress, version)
        if evaluated.gate is not None:
            print_gate(evaluated.gate)
        conclude_gates([evaluated], junit)


@app.command()
def recommend(config: ConfigFile, overrides: Overrides = [], version: AVersion = None) -> None:
    """Say which width and encoding is enough, by what was measured last of the current version or another."""
    with one_sentence("recommend"):
        settings = load_config(config, overrides)
        from adaptor.console.evaluation import print_recommendation
        from adaptor.evaluation.recommendation import recommend_for
        from adaptor.release import Versions

        chosen = version or Versions(settings.artifact.folder).current
        rules, price = settings.recommend_rules, settings.rates.gigabyte_month
        print_recommendation(recommend_for(settings.artifact.folder, chosen, rules, price))


@app.command()
def promote(config: ConfigFile, overrides: Overrides = [], version: AVersion = None) -> None:
    """Write the target by a version, then make that version current."""
    with one_sentence("promote"):
        settings = load_config(config, overrides)
        from adaptor.console.progress import at_work
        from adaptor.console.summaries import print_release
        from adaptor.spark.release import promote as promote_version

        with at_work("matryoshka promote") as (spark, progress):
            release = promote_version(spark, settings, progress, version)
        print_release(release)


@app.command()
def rollback(config: ConfigFile, overrides: Overrides = []) -> None:
    """Write the target by the version before the current one, then make that one current again."""
    with one_sentence("rollback"):
        settings = load_config(config, overrides)
        from adaptor.console.progress import at_work
        from adaptor.console.summaries import print_release
        from adaptor.spark.release import roll_back

        with at_work("matryoshka rollback") as (spark, progress):
            release = roll_back(spark, settings, progress)
        print_release(release)
