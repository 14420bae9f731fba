"""Look whether new rows and queries still are like those of the fit, and the target what it should be.

spark-submit jobs/monitor.py --config conf/quickstart.yaml
"""

import sys

import typer

from adaptor.config import load_config
from adaptor.console.app import ALERTS, ConfigFile, Overrides, example, one_sentence

app = typer.Typer(add_completion=False)


@app.command(epilog=example("monitor"))
def main(config: ConfigFile, overrides: Overrides = []) -> None:
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


if __name__ == "__main__":
    app()
