"""Evaluate what each dimension keeps, beside truncation and SVD.

spark-submit jobs/evaluate.py --config conf/quickstart.yaml
"""

import typer

from adaptor.config import load_config
from adaptor.console.app import ConfigFile, Overrides, example, one_sentence

app = typer.Typer(add_completion=False)


@app.command(epilog=example("evaluate"))
def main(config: ConfigFile, overrides: Overrides = []) -> None:
    """Measure the written columns with queries and judgments, or by neighbours; add the figures to runs."""
    with one_sentence("evaluate"):
        settings = load_config(config, overrides, section="evaluate")
        from adaptor.console.progress import at_work
        from adaptor.console.summaries import print_evaluated
        from adaptor.spark.evaluate import evaluate_table

        with at_work("matryoshka evaluate") as (spark, progress):
            evaluated = evaluate_table(spark, settings, progress)
        print_evaluated(evaluated)


if __name__ == "__main__":
    app()
