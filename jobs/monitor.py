"""Look whether new rows and queries still are like those of the fit, and the target what it should be.

spark-submit jobs/monitor.py --config conf/quickstart.yaml
"""

from adaptor.console.jobs import monitor, submitted

app = submitted(monitor)

if __name__ == "__main__":
    app()
