"""The terminal that a person looks at: under spark-submit it is not this process's own, but the JVM's."""

from __future__ import annotations

import os
import stat
import sys
from typing import TextIO

from rich.console import Console

FILE_WIDTH = 120  # of tables in a file: wide enough that none is folded


def open_console() -> Console:
    """Where lines, bars and tables go: the terminal if there is one, else standard output."""
    terminal = sys.stdout if sys.stdout.isatty() else _behind_spark_submit()
    if terminal is None:
        return Console(width=FILE_WIDTH, highlight=False, soft_wrap=True)
    columns = os.get_terminal_size(terminal.fileno()).columns  # 0 where nobody has said how wide it is
    return Console(file=terminal, width=columns or FILE_WIDTH, highlight=False)


def _behind_spark_submit() -> TextIO | None:
    """The terminal of the JVM that started this process and reads its output through a pipe; None where it has none."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return None
    output = f"/proc/{os.getppid()}/fd/1"
    try:
        if not stat.S_ISCHR(os.stat(output).st_mode):  # a file would be emptied by being opened
            return None
        terminal = open(output, "w")  # noqa: SIM115 - it is written to until the process ends
    except OSError:  # no such process, no right to its output, no Linux
        return None
    if terminal.isatty():
        return terminal
    terminal.close()
    return None
