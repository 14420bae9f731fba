"""Compare and release versions of an artifact on a cluster; in a shell the command `adaptor` does the same.

spark-submit jobs/release.py compare --config conf/quickstart.yaml
"""

from adaptor.console.commands import app

if __name__ == "__main__":
    app()
