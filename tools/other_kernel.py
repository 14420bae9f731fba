"""Name a kernel of OpenBLAS that rounds otherwise than the one that runs by itself: a value of OPENBLAS_CORETYPE.

The processor decides which kernel runs, so a test that holds under one alone would fail on other machines. Where none
can be switched to, because NumPy multiplies by another library or the processor runs no other, nothing is printed, and
a line on the standard error says so.
"""

import os
import subprocess
import sys

# Of all kinds of processors. A name that OpenBLAS does not know there changes nothing or, by its version, gives the
# plainest kernel; a kernel may also not run.
NAMES = ("Haswell", "SkylakeX", "Sandybridge", "Nehalem", "NEOVERSEN1", "CORTEXA57", "ARMV8", "POWER9", "POWER8")

PRODUCTS = """
import hashlib
import numpy
draw = numpy.random.default_rng(0)
x, weight = (draw.normal(size=shape).astype("f") for shape in ((333, 96), (96, 61)))
print(hashlib.sha256(b"".join((x[:rows] @ weight).tobytes() for rows in (1, 2, 5, 13, 64, 333))).hexdigest())
"""


def last_bits(**environment: str) -> str | None:
    """A hash of some products in such an environment; None where they can't be made."""
    command = [sys.executable, "-c", PRODUCTS]
    ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    return None if ended.returncode else ended.stdout


def other_kernel() -> str | None:
    """The first that runs here and rounds otherwise."""
    here = last_bits()
    return next((name for name in NAMES if last_bits(OPENBLAS_CORETYPE=name) not in (None, here)), None)


if __name__ == "__main__":
    found = other_kernel()
    print(found or "there is no other kernel of OpenBLAS to switch to here", file=sys.stdout if found else sys.stderr)
