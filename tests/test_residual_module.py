"""The torch module and the NumPy map it becomes are one function."""

import numpy as np
import pytest
import torch
from synthetic import clustered, rotation

from adaptor.maps import Map
from adaptor.training.residual_module import AdaptorModule
from adaptor.vectors import normalise


def starts() -> dict[str, Map]:
    bias = np.random.default_rng(0).normal(scale=0.1, size=32).astype(np.float32)
    return {
        "identity": Map(np.eye(32, dtype=np.float32)),
        "rotation": Map(rotation()),
        "with a bias": Map(rotation(), bias),
    }


@pytest.mark.parametrize("start", ["identity", "rotation", "with a bias"])
def test_numpy_and_torch_agree_once_trained(start):
    module = AdaptorModule(starts()[start], hidden=24, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3, generator=generator)
    x = normalise(clustered(40, seed=2))
    by_torch = module(torch.tensor(x)).detach().numpy()
    assert np.abs(by_torch - starts()[start](x)).max() > 0.01
    np.testing.assert_allclose(module.to_map()(x), by_torch, atol=1e-5)


@pytest.mark.parametrize("start", ["identity", "rotation", "with a bias"])
def test_training_starts_exactly_from_the_start(start):
    x = clustered(40, seed=2)
    module = AdaptorModule(starts()[start], hidden=24, seed=0)
    np.testing.assert_allclose(module.to_map()(x), starts()[start](x), atol=1e-6)


def test_equal_seeds_make_equal_modules():
    first, same, other = (AdaptorModule(starts()["rotation"], 24, seed).hidden.weight for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
