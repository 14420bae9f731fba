"""The tools that make and CI call."""

import pytest

from tools import other_kernel


def test_another_kernel_rounds_otherwise():
    name = other_kernel.other_kernel()
    if name is None:
        pytest.skip("this processor runs one kernel alone")
    assert other_kernel.last_bits(OPENBLAS_CORETYPE=name) != other_kernel.last_bits()


def test_kernels_that_are_unknown_or_do_not_run(monkeypatch):
    """A name that OpenBLAS does not know leaves the kernel as it is."""
    monkeypatch.setattr(other_kernel, "NAMES", ("unheard-of",))
    assert other_kernel.other_kernel() is None
    assert other_kernel.last_bits(PYTHONHOME="/nowhere") is None
