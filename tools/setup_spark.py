"""Make this environment's own Spark ready, so that a plain `spark-submit` works and is quiet.

Delta's JARs come in through Spark's own resolver, once: afterwards no submit waits for a
resolution or a network. Defaults and log settings are those in conf/spark.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pyspark
from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

home = Path(pyspark.__file__).parent
shutil.copytree(Path(__file__).parents[1] / "conf" / "spark", home / "conf", dirs_exist_ok=True)
os.environ["SPARK_HOME"] = str(home)
if not list(home.glob("jars/*delta-spark*")):
    with tempfile.TemporaryDirectory() as ivy:
        builder = SparkSession.builder.master("local[1]").config("spark.jars.ivy", ivy)
        configure_spark_with_delta_pip(builder).getOrCreate().stop()
        for jar in Path(ivy, "jars").glob("io.delta_*.jar"):
            shutil.copy(jar, home / "jars" / jar.name)
print("spark:", ", ".join(sorted(jar.name for jar in home.glob("jars/io.delta_*"))))
