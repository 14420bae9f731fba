#!/usr/bin/env bash
# A job on YARN, whose nodes have no Python environment of this project: docs/deploy/yarn.md.
#
#   make package
#   conf/deploy/yarn.sh apply my.yaml --set apply.mode=incremental
set -euo pipefail
job=$1 config=$2
shift 2
archive=${ARCHIVE:-dist/environment-apply.tar.gz}      # environment-full.tar.gz for a fit
DELTA=${DELTA:-io.delta:delta-spark_2.13:4.0.1}        # leave out where the cluster's Spark has Delta
QUEUE=${QUEUE:-default}

exec spark-submit --master yarn --deploy-mode cluster --queue "$QUEUE" \
    --packages "$DELTA" \
    --archives "$archive#environment" \
    --conf spark.yarn.appMasterEnv.PYSPARK_PYTHON=./environment/bin/python \
    --conf spark.executorEnv.PYSPARK_PYTHON=./environment/bin/python \
    --conf spark.executorEnv.OMP_NUM_THREADS=1 \
    --files "$config" \
    --conf spark.executor.instances="${EXECUTORS:-4}" --conf spark.executor.cores="${CORES:-4}" \
    --conf spark.executor.memory="${MEMORY:-4g}" --conf spark.executor.memoryOverhead="${OVERHEAD:-3g}" \
    "$(dirname "$0")/../../jobs/$job.py" --config "$(basename "$config")" "$@"
