"""Apply an artifact to every row of a Delta table.

spark-submit jobs/apply.py --config conf/quickstart.yaml
"""

import typer

from adaptor.cli import ConfigFile, Overrides, example, one_sentence, progress
from adaptor.config import load_config

app = typer.Typer(add_completion=False)


@app.command(epilog=example("apply"))
def main(config: ConfigFile, overrides: Overrides = []) -> None:
    """Write nested-dimension columns for every row of the source; bad rows are set aside with a reason."""
    with one_sentence("apply"):
        settings = load_config(config, overrides, section="apply")
        from adaptor.spark.apply import apply_table
        from adaptor.spark.session import open_session
        from adaptor.summaries import print_applied

        print_applied(apply_table(open_session("matryoshka apply"), settings, progress))


if __name__ == "__main__":
    app()
