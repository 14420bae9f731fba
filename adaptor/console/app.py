"""What the jobs share: options, errors as one sentence, progress lines, and their summary tables."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.markup import escape

from adaptor.console.terminal import open_console
from adaptor.errors import AdaptorError, ConfigError, GateFailed, cause

console = open_console()
ALERTS = 4  # the exit code of a job that did its work and found something to look at

ConfigFile = Annotated[str, typer.Option("--config", metavar="FILE", help="The YAML file; conf/ holds examples.")]
ConfigFiles = Annotated[
    list[str], typer.Option("--config", metavar="FILE", help="A YAML file; repeatable, a data set or artifact each.")
]
JUnit = Annotated[str | None, typer.Option("--junit", metavar="FILE", help="Writes what the gate says as JUnit XML.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Overrides one value of the file; repeatable.")
]


def example(command: str) -> str:
    """The last line of a job's --help."""
    return f"Example: {command} --config conf/quickstart.yaml --set sample.rows=5000"


@contextmanager
def one_sentence(job: str) -> Iterator[None]:
    """End the process non-zero with the cause in the first line: 2 for config mistakes, 3 for a gate, else 1."""
    try:
        yield
    except ConfigError as error:
        _fail(job, str(error))
        sys.exit(2)
    except AdaptorError as error:
        _fail(job, str(error))
        sys.exit(3 if isinstance(error, GateFailed) else 1)
    except Exception as error:
        _fail(job, f"{cause(error)}\n")
        traceback.print_exc()
        sys.exit(1)


def progress(line: str) -> None:
    """One plain line about what is being done."""
    console.print(escape(line), style="dim")


def _fail(job: str, message: str) -> None:
    for line in message.splitlines():
        print(f"{job}: {line}", file=sys.stderr)
