"""The NumPy map against the formula in its docstring."""

import numpy as np
import pytest

from adaptor.maps import Map, Residual


def random_map(seed: int = 0) -> Map:
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return Map(draw(6, 5), draw(5), Residual(draw(6, 7), draw(7), draw(7, 5)))


def test_map_is_linear_part_plus_residual_of_the_unit_vector():
    map_ = random_map()
    x = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    for row, row_mapped in zip(x, map_(x)):
        unit = row / np.sqrt((row**2).sum())
        hidden = np.maximum(unit @ map_.residual.hidden + map_.residual.hidden_bias, 0)
        np.testing.assert_allclose(row_mapped, unit @ map_.weight + map_.bias + hidden @ map_.residual.out, atol=1e-5)


def test_length_of_the_input_does_not_matter():
    map_ = random_map()
    x = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    np.testing.assert_allclose(map_(x * 1000), map_(x), atol=1e-4)


@pytest.mark.parametrize("dim", [1, 3, 5])
def test_a_prefix_is_the_first_numbers_of_the_whole(dim):
    map_ = random_map()
    x = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    np.testing.assert_allclose(map_(x, dim), map_(x)[:, :dim], atol=1e-6)


def test_widths():
    assert (random_map().width, random_map().out_width) == (6, 5)


@pytest.mark.parametrize("parts", ["weight", "weight bias", "weight bias residual"])
def test_tensors_and_back(parts):
    whole = random_map()
    map_ = Map(**{part: getattr(whole, part) for part in parts.split()})
    back = Map.from_tensors(map_.tensors())
    x = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    assert (back.bias is None) == ("bias" not in parts)
    assert (back.residual is None) == ("residual" not in parts)
    np.testing.assert_array_equal(back(x), map_(x))
