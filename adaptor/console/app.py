"""What the jobs share: options, errors as one sentence, progress lines, and their summary tables."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from adaptor.errors import AdaptorError, ConfigError

# Width is the terminal's; in a file, wide enough that no table is folded.
console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, soft_wrap=not sys.stdout.isatty())

ConfigFile = Annotated[str, typer.Option("--config", metavar="FILE", help="The YAML file; conf/ holds examples.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Overrides one value of the file; repeatable.")
]


def example(job: str) -> str:
    """The last line of a job's --help."""
    return f"Example: spark-submit jobs/{job}.py --config conf/quickstart.yaml --set sample.rows=5000"


@contextmanager
def one_sentence(job: str) -> Iterator[None]:
    """End the process non-zero with the cause in the first line; 2 for config mistakes, else 1."""
    try:
        yield
    except ConfigError as error:
        _fail(job, str(error))
        sys.exit(2)
    except AdaptorError as error:
        _fail(job, str(error))
        sys.exit(1)
    except Exception as error:
        _fail(job, f"{cause(error)}\n")
        traceback.print_exc()
        sys.exit(1)


def cause(error: BaseException) -> str:
    """The line of an error that says what happened.

    Of a Python worker's error that is the last line of its trace, also where it could not start; of a
    Java one the last "Caused by".
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    if "Error from python worker:" in lines and "PYTHONPATH was:" in lines:
        return lines[lines.index("PYTHONPATH was:") - 1].strip()
    for line in lines:
        if line.startswith("adaptor.errors."):
            return line.partition(": ")[2]
    if any(line.endswith("Traceback (most recent call last):") for line in lines):
        return [line for line in lines if not line.startswith((" ", "\t"))][-1]
    caused = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return caused[-1] if caused else f"{type(error).__name__}: {lines[0].strip() if lines else 'no message'}"


def progress(line: str) -> None:
    """One plain line about what is being done."""
    console.print(escape(line), style="dim")


def _fail(job: str, message: str) -> None:
    for line in message.splitlines():
        print(f"{job}: {line}", file=sys.stderr)
