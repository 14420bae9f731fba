#!/usr/bin/env bash
# Builds the wheel and packs an environment around it that executors unpack for themselves:
#   tools/package.sh .venv dist apply     what apply, evaluate and monitor need; no torch
#   tools/package.sh .venv dist full      with torch, to fit too: gigabytes
# Spark is left out, for the cluster has its own. The packed python is a link to the interpreter that .venv was made
# from: every machine must have that version, at the same path, or at PYTHON_PREFIX, such as /usr.
set -euo pipefail
unset PYTHONPATH  # what is found there would not be packed
cd "$(dirname "$0")/.."

venv=$(cd "$1" && pwd)
dist=$2 kind=$3
case $kind in
    apply) extras=spark,s3 ;;
    full) extras=spark,s3,train,tune,tracking,report ;;
    *) echo "package: there is no package $kind; apply or full" >&2; exit 1 ;;
esac
[ -x "$venv/bin/venv-pack" ] || { echo "package: $venv has no venv-pack; make package installs it" >&2; exit 1; }
mkdir -p "$dist"
dist=$(cd "$dist" && pwd)
constraints=$PWD/constraints.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$venv/bin/pip" wheel -q --no-deps --no-build-isolation -w "$work/wheel" .
wheel=$(ls "$work"/wheel/*.whl)
"$venv/bin/python" -m venv "$work/environment"
"$work/environment/bin/pip" install -q --constraint "$constraints" setuptools wheel
"$work/environment/bin/pip" install -q --no-build-isolation --constraint "$constraints" "$wheel[$extras]"
# Spark ships its own to every executor; a second one would only be 450 MB more.
"$work/environment/bin/pip" uninstall -q -y pyspark py4j
"$venv/bin/venv-pack" -q -p "$work/environment" -o "$work/environment.tar.gz" ${PYTHON_PREFIX:+--python-prefix "$PYTHON_PREFIX"}
mv "$wheel" "$dist/"
mv "$work/environment.tar.gz" "$dist/environment-$kind.tar.gz"
ls -sh "$dist" | sed 's/^/package: /'
