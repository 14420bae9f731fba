"""Write one page of what was measured, chosen, paid and noticed.

spark-submit jobs/report.py --config conf/quickstart.yaml
"""

from adaptor.console.jobs import report, submitted

app = submitted(report)

if __name__ == "__main__":
    app()
