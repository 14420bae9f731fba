#!/usr/bin/env bash
# The quickstart: SciFact into Delta, then the three jobs, then what to look at. Run by make quickstart.
set -euo pipefail
conf=conf/quickstart.yaml

step() { printf '\n== %s\n' "$*"; "$@"; }
step spark-submit tools/load_collection.py data/scifact lake/scifact
step spark-submit jobs/fit.py --config $conf
step spark-submit jobs/apply.py --config $conf
step spark-submit jobs/evaluate.py --config $conf
step spark-submit jobs/report.py --config $conf

cat <<END

The nested embeddings   lake/scifact/nested     (Delta; embedding_32 ... embedding_192, title, text)
The artifact            lake/scifact/artifact   (current.json names the version in use; its README.md is the model card)
The report              lake/scifact/report.html    (open it in a browser)
Every figure            lake/runs               (Delta)

Next
  notebooks/                                from a table to nested columns, querying, choosing a dimension, text to images;
                                            read them as they are, or open them with .venv as their kernel
  your own table: copy $conf, name your table and its columns, then
      . .venv/bin/activate
      spark-submit jobs/fit.py --config YOUR_COPY       (and jobs/apply.py, jobs/evaluate.py; --help explains)
  conf/cluster.yaml                         the same on a cluster, with Horovod
END
