"""Fit an adaptor on a sample of a Delta table.

spark-submit jobs/fit.py --config conf/quickstart.yaml
"""

import typer

from adaptor.config import load_config
from adaptor.console.app import ConfigFile, Overrides, example, one_sentence
from adaptor.fitting.tuning import require_optuna

app = typer.Typer(add_completion=False)


@app.command(epilog=example("fit"))
def main(config: ConfigFile, overrides: Overrides = []) -> None:
    """Sample the source table, compare the candidates on held-out rows, publish the best as an artifact."""
    with one_sentence("fit"):
        settings = load_config(config, overrides)
        if settings.fit.tune:
            require_optuna()
        from adaptor.console.progress import at_work
        from adaptor.console.summaries import print_fitted
        from adaptor.spark.fit import fit_table

        with at_work("matryoshka fit") as (spark, progress):
            fitted = fit_table(spark, settings, progress)
        print_fitted(fitted)


if __name__ == "__main__":
    app()
