"""Fit an adaptor on a sample of a Delta table.

spark-submit jobs/fit.py --config conf/quickstart.yaml
"""

from adaptor.console.jobs import fit, submitted

app = submitted(fit)

if __name__ == "__main__":
    app()
