"""Spark's daemon of Python workers, without two waits that cost a tenth of a second a task (`docs/decisions.md`).

Executors run it as `python -m`, by `spark.python.daemon.module`; what a worker does is Spark's own.
"""

import socket
import sys
from zipimport import zipimporter

from pyspark import daemon

_worker = daemon.worker


def worker(sock: socket.socket, authenticated: bool) -> int:
    """One task of a worker process."""
    # Before every task Spark invalidates import caches: Python before 3.12 then reads the listing of every
    # archive it ever looked into, one by one. Forgotten, they come back when something is imported from them.
    for path in [path for path, finder in sys.path_importer_cache.items() if isinstance(finder, zipimporter)]:
        del sys.path_importer_cache[path]
    # The JVM sends a task in small pieces, each held back until the one before is acknowledged: say so at once.
    if sock.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_QUICKACK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    return int(_worker(sock, authenticated))  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    daemon.worker = worker
    daemon.manager()  # type: ignore[no-untyped-call]
