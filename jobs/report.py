"""Write one page of what was measured, chosen, paid and noticed.

spark-submit jobs/report.py --config conf/quickstart.yaml
"""

import typer

from adaptor.config import load_configs
from adaptor.console.app import ConfigFiles, Overrides, example, one_sentence
from adaptor.report import require_libraries

app = typer.Typer(add_completion=False)


@app.command(epilog=example("report"))
def main(config: ConfigFiles, overrides: Overrides = []) -> None:
    """Read an artifact's measurements, the runs table and the alerts; write an HTML file that needs no network."""
    with one_sentence("report"):
        settings = load_configs(config, overrides)
        require_libraries()
        from adaptor.console.progress import at_work
        from adaptor.console.summaries import print_reported
        from adaptor.spark.report import write_report

        with at_work("matryoshka report") as (spark, progress):
            reported = write_report(spark, settings, progress)
        print_reported(reported)


if __name__ == "__main__":
    app()
