"""The tools that make and CI call."""

import pytest

from tools import other_kernel


def test_another_kernel_rounds_otherwise():
    name = other_kernel.other_kernel()
    if name is None:
        pytest.skip("this processor runs one kernel alone")
    assert other_kernel.last_bits(OPENBLAS_CORETYPE=name) != other_kernel.last_bits()


def test_a_kernel_that_does_not_run_is_passed_over(monkeypatch):
    """What stops before it prints is no kernel to test with; such is a Python that finds no library of its own."""
    assert other_kernel.last_bits(PYTHONHOME="/nowhere") is None
    monkeypatch.setattr(other_kernel, "last_bits", lambda **environment: None if environment else "0")
    assert other_kernel.other_kernel() is None
