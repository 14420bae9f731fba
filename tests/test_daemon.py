"""Workers are forked by the library's own daemon: no task reads the listings of archives again."""

import os
import subprocess
import sys


def test_a_worker_forgets_archives_between_tasks(spark):
    def looked_into(_):
        import sys
        from zipimport import zipimporter

        archives = [path for path, finder in sys.path_importer_cache.items() if isinstance(finder, zipimporter)]
        return archives, "adaptor.spark.daemon" in sys.orig_argv

    for _ in range(3):  # what the first tasks import may come from archives
        finders = spark.sparkContext.parallelize(range(4), 4).map(looked_into).collect()
    assert finders == [([], True)] * 4


def test_a_daemon_that_was_submitted_stays():
    script = """
from adaptor.spark.session import open_session
print("daemon", open_session("other").sparkContext.getConf().get("spark.python.daemon.module"))
"""
    submitted = "--master local[1] --conf spark.python.daemon.module=pyspark.daemon pyspark-shell"
    env = {**os.environ, "PYSPARK_SUBMIT_ARGS": submitted}
    ended = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert "daemon pyspark.daemon" in ended.stdout, ended.stderr
