#!/usr/bin/env bash
# A job on Kubernetes, in the image of conf/deploy/Dockerfile: docs/deploy/kubernetes.md.
#
#   make package
#   docker build -f conf/deploy/Dockerfile -t IMAGE . && docker push IMAGE
#   IMAGE=... API=https://... conf/deploy/kubernetes.sh apply my.yaml --set apply.mode=incremental
set -euo pipefail
job=$1 config=$2
shift 2
: "${IMAGE:?the image that was pushed}" "${API:?the address of the cluster API server}" "${BUCKET:?s3a://... for what is uploaded}"

exec spark-submit --master "k8s://$API" --deploy-mode cluster --name "matryoshka-$job" \
    --conf spark.kubernetes.container.image="$IMAGE" \
    --conf spark.kubernetes.namespace="${NAMESPACE:-default}" \
    --conf spark.kubernetes.authenticate.driver.serviceAccountName="${ACCOUNT:-spark}" \
    --conf spark.kubernetes.file.upload.path="$BUCKET/uploads" \
    --packages "org.apache.hadoop:hadoop-aws:${HADOOP:-3.4.1}" \
    --files "$config" \
    --conf spark.executorEnv.OMP_NUM_THREADS=1 \
    --conf spark.executor.instances="${EXECUTORS:-4}" --conf spark.executor.cores="${CORES:-4}" \
    --conf spark.executor.memory="${MEMORY:-4g}" --conf spark.executor.memoryOverhead="${OVERHEAD:-3g}" \
    "local:///usr/local/share/matryoshka-adaptor/jobs/$job.py" --config "$(basename "$config")" "$@"
