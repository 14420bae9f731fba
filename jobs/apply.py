"""Apply an artifact to every row of a Delta table.

spark-submit jobs/apply.py --config conf/quickstart.yaml
"""

from typing import Annotated

import typer

from adaptor.config import load_config
from adaptor.console.app import ConfigFile, Overrides, example, one_sentence

app = typer.Typer(add_completion=False)


@app.command(epilog=example("apply"))
def main(
    config: ConfigFile,
    overrides: Overrides = [],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what a full run would do and cost.")] = False,
) -> None:
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


if __name__ == "__main__":
    app()
