"""Marks of tests that need a part which not every environment has; what is left out says why."""

from importlib.util import find_spec

import pytest

PETASTORM = pytest.mark.skipif(
    find_spec("petastorm") is None, reason="petastorm is not installed: it needs Python 3.11 and pyarrow 14"
)
HOROVOD = pytest.mark.skipif(
    find_spec("horovod") is None, reason="Horovod is not installed: tools/build_horovod.sh builds it for torch 2.6"
)
CONNECT = pytest.mark.skipif(find_spec("grpc") is None, reason="Spark Connect needs grpcio: the extra `connect`")
