"""The random map: uniform, and from its seed alone."""

import torch

from attribution.base import SCORES
from attribution.config import RandomConfig, Score
from attribution.random_map import RandomMap


def explain(seeds):
    images = torch.zeros(len(seeds), 3, 64, 48)
    return RandomMap(RandomConfig())(
        torch.nn.Identity(),
        images,
        torch.zeros(len(seeds), dtype=torch.int64),
        score=SCORES[Score.logit],
        seeds=seeds,
    ).maps


def test_a_map_depends_on_its_seed_alone_not_on_the_batch():
    together = explain([7, 8, 9])
    assert torch.equal(together[1:2], explain([8]))
    assert torch.equal(together.flip(0), explain([9, 8, 7]))
    assert not torch.equal(together[0], together[1])


def test_pixels_are_uniform_between_zero_and_one():
    pixels = explain([3]).flatten()
    assert pixels.min() >= 0
    assert pixels.max() < 1
    # Means of 3072 uniform numbers: deviation 1 / sqrt(12 n) = 0.0052; the bounds are 5 of them.
    assert abs(float(pixels.mean()) - 1 / 2) < 0.026
    assert abs(float(pixels.square().mean()) - 1 / 3) < 0.027
