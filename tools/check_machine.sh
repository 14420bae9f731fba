#!/usr/bin/env bash
# Says in one sentence what this machine lacks, before anything is downloaded.
python=$1
fail() { echo "matryoshka-adaptor: $1" >&2; exit 1; }

command -v "$python" >/dev/null ||
    fail "Python 3.11 is needed (petastorm runs on no newer one) and $python is not on the PATH; install it, or say make PYTHON=/path/to/python3.11"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
[ "$version" = 3.11 ] || fail "Python 3.11 is needed and $python is ${version:-no working Python}; say make PYTHON=/path/to/python3.11"

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
command -v "$java" >/dev/null || fail "Java 17 or 21 is needed and there is none on the PATH; install a JDK or set JAVA_HOME"
release=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
[ "${release:-0}" -ge 17 ] || fail "Java 17 or 21 is needed and $java is version ${release:-unknown}; set JAVA_HOME to a newer one"
