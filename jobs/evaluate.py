"""Evaluate what each dimension keeps, beside truncation and SVD.

spark-submit jobs/evaluate.py --config conf/quickstart.yaml
"""

from typing import Annotated

import typer

from adaptor.config import load_configs
from adaptor.console.app import ConfigFiles, JUnit, Overrides, example, one_sentence

app = typer.Typer(add_completion=False)
Freeze = Annotated[
    str | None, typer.Option("--freeze", metavar="NAME", help="Keeps the run for rules to compare with.")
]
Trec = Annotated[str | None, typer.Option("--trec", metavar="FOLDER", help="Writes TREC's run and qrels files.")]


@app.command(epilog=example("evaluate"))
def main(
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


if __name__ == "__main__":
    app()
