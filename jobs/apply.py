"""Apply an artifact to every row of a Delta table.

spark-submit jobs/apply.py --config conf/quickstart.yaml
"""

from adaptor.console.jobs import apply, submitted

app = submitted(apply)

if __name__ == "__main__":
    app()
