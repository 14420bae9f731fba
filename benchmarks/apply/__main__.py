"""Measure apply and write `docs/performance.md`, a section at a time.

make bench-apply
python -m benchmarks.apply engines memory scaling bands incremental partitioned
python -m benchmarks.apply engines --scale 0.05      # to try it out: fewer rows, and nothing is written
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy reads them when it loads

import argparse
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.apply import bands, engines, incremental, memory, partitioned, scaling
from benchmarks.apply.random_tables import in_process
from benchmarks.apply.report import put_section

SECTIONS = {
    module.__name__.rpartition(".")[2]: module for module in (engines, memory, scaling, bands, incremental, partitioned)
}


@contextlib.contextmanager
def scratch(parent: str | None) -> Iterator[Path]:
    """A folder for the made tables, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bench-apply-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.apply", description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all by default")
    parser.add_argument("--folder", help="where the made tables go, 12 GB; a temporary folder by default")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all numbers of rows; written nowhere then")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}: there are {', '.join(SECTIONS)}")
    with scratch(arguments.folder) as folder:
        for name in arguments.sections or SECTIONS:
            started = time.monotonic()
            print(f"== {name}", flush=True)
            text = in_process(SECTIONS[name].measure, folder, arguments.scale)
            print(f"\n{text}\n{name}: {time.monotonic() - started:.0f} s\n", flush=True)
            if arguments.scale == 1:
                put_section(SECTIONS[name].TITLE, text, [module.TITLE for module in SECTIONS.values()])


if __name__ == "__main__":
    main()
