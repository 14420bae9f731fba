#!/usr/bin/env bash
# Builds the Horovod wheel for the torch and Python in the given environment, once per user:
#   tools/build_horovod.sh .venv
# Horovod 0.28.1 asks for C++14, torch >= 2.1 needs C++17; its main branch has the fix, no release has.
set -euo pipefail

venv=$(cd "$1" && pwd)
version=0.28.1
export PATH="$venv/bin:$PATH"
key=$(python -c 'import sys, platform, torch
print(f"torch{torch.__version__}-cp{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}")')
cache="${XDG_CACHE_HOME:-$HOME/.cache}/matryoshka-adaptor/horovod-$version-$key"

if ! ls "$cache"/horovod-*.whl >/dev/null 2>&1; then
    for tool in cmake make g++; do
        command -v "$tool" >/dev/null || { echo "horovod: $tool is missing; install it, then run this again" >&2; exit 1; }
    done
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    echo "horovod: building $version for $key (about 8 minutes on 2 cores, once)"
    pip download -q --no-deps --no-binary :all: --no-build-isolation -d "$work" "horovod==$version"
    tar -xzf "$work/horovod-$version.tar.gz" -C "$work"
    cd "$work/horovod-$version"
    sed -i 's/set(CMAKE_CXX_STANDARD 14)/set(CMAKE_CXX_STANDARD 17)/' CMakeLists.txt horovod/torch/CMakeLists.txt
    HOROVOD_WITH_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITHOUT_MXNET=1 \
    HOROVOD_WITHOUT_MPI=1 HOROVOD_WITH_GLOO=1 MAKEFLAGS="-j$(nproc)" \
        pip wheel -q --no-deps --no-build-isolation -w "$work/dist" . >"$work/build.log" 2>&1 \
        || { tail -40 "$work/build.log" >&2; echo "horovod: the build failed, its last lines are above" >&2; exit 1; }
    mkdir -p "$cache"
    mv "$work"/dist/horovod-*.whl "$cache/"
fi
pip install -q --no-deps --force-reinstall "$cache"/horovod-*.whl
