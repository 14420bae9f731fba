"""Evaluate what each dimension keeps, beside truncation and SVD.

spark-submit jobs/evaluate.py --config conf/quickstart.yaml
"""

from adaptor.console.jobs import evaluate, submitted

app = submitted(evaluate)

if __name__ == "__main__":
    app()
