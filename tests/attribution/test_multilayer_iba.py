"""Multi-layer IBA is the intersection of its layers' maps, at the published thresholds."""

import pytest
import torch
from scipy.stats import spearmanr
from torch.nn import functional as F

from attribution.base import SCORES
from attribution.config import IBAConfig, Intersection, MultilayerIBAConfig, Score
from attribution.iba import IBA
from attribution.multilayer_iba import MultilayerIBA, intersect

TAPS = ["block1", "block2", "block3"]
BETAS = [0.3, 0.2, 0.1]
THRESHOLDS = [0.9, 0.8, 0.7]
TARGETS = torch.tensor([0, 1, 2, 3])


@pytest.fixture(scope="module")
def statistics(classifier, statistics_of):
    return statistics_of(classifier)


def explain(model, images, statistics, rows=slice(None), **settings):
    mode = settings.pop("mode", Intersection.soft)
    layers = [
        IBA(IBAConfig(tap=tap, beta=beta, **settings), statistics[tap])
        for tap, beta in zip(TAPS, BETAS, strict=True)
    ]
    return MultilayerIBA(MultilayerIBAConfig(thresholds=THRESHOLDS, mode=mode), layers)(
        model, images[rows], TARGETS[rows], score=SCORES[Score.logit], seeds=range(4)[rows]
    )


@pytest.mark.parametrize("mode", list(Intersection))
def test_is_the_intersection_of_what_iba_gives_at_each_tap(classifier, images, statistics, mode):
    found = explain(classifier, images, statistics, mode=mode)
    single = {
        tap: IBA(IBAConfig(tap=tap, beta=beta), statistics[tap])(
            classifier, images, TARGETS, score=SCORES[Score.logit], seeds=range(4)
        )
        for tap, beta in zip(TAPS, BETAS, strict=True)
    }
    for row in range(4):
        maps = [single[tap].maps[row] for tap in TAPS]
        above = [m >= t * m.square().mean().sqrt() for m, t in zip(maps, THRESHOLDS, strict=True)]
        if mode is Intersection.binary:
            expected = (above[0] & above[1] & above[2]).float()
        else:
            expected = maps[0] * (above[1] & above[2])
        assert 0 < (expected > 0).float().mean() < 0.9
        assert torch.equal(found.maps[row], expected)
        assert found.diagnostics["area"][row].item() == (expected > 0).float().mean().item()
    for tap in TAPS:
        for name, values in single[tap].diagnostics.items():
            reported = found.diagnostics["score" if name == "score" else f"{name}_{tap}"]
            torch.testing.assert_close(reported, values)


def test_soft_equals_a_plain_loop_over_the_equations_at_each_tap(
    classifier, images, statistics, plain_loop
):
    found = explain(classifier, images, statistics, mode=Intersection.soft, noise_samples=3)
    for row in range(2):
        maps = []
        for tap, beta in zip(TAPS, BETAS, strict=True):
            with torch.no_grad():
                features = classifier.forward_to(tap, images[row : row + 1])[0]
            maps.append(
                plain_loop(
                    features,
                    lambda z, tap=tap: classifier.forward_from(tap, z),
                    lambda outputs, row=row: F.softplus(-outputs[row]),
                    row,
                    statistics[tap],
                    IBAConfig(tap=tap, beta=beta, noise_samples=3),
                    (32, 32),
                )
            )
        # L2 norms as published: 32 x 32 pixels make a norm of 32 root mean squares.
        expected = maps[0].clone()
        for layer, threshold in zip(maps[1:], THRESHOLDS[1:], strict=True):
            expected *= layer / layer.norm() >= threshold / 32
        assert spearmanr(found.maps[row].flatten(), expected.flatten()).statistic > 0.999


def test_a_map_does_not_depend_on_the_other_images_of_the_batch(classifier, images, statistics):
    together = explain(classifier, images, statistics).maps
    for start, stop in ((0, 1), (1, 4)):
        apart = explain(classifier, images, statistics, slice(start, stop)).maps
        for alone, among in zip(apart, together[start:stop], strict=True):
            assert spearmanr(alone.flatten(), among.flatten()).statistic > 0.999


def test_the_default_thresholds_are_the_published_ones_at_224_pixels():
    generator = torch.Generator().manual_seed(0)
    first, second, third = (torch.rand(1, 224, 224, generator=generator).pow(k) for k in (1, 2, 3))
    expected = first * (second / second.norm() >= 0.006) * (third / third.norm() >= 0.006)
    config = MultilayerIBAConfig()
    assert torch.equal(
        intersect([first, second, third], config.thresholds, Intersection.soft), expected
    )


def test_a_map_without_information_leaves_nothing():
    full, empty = torch.ones(1, 4, 4), torch.zeros(1, 4, 4)
    for mode in Intersection:
        assert (intersect([full, empty], [0.5, 0.5], mode) == 0).all()
        assert (intersect([full, full], [0.5, 0.5], mode) == 1).all()


def test_a_layer_without_a_threshold_is_refused(statistics):
    layers = [IBA(IBAConfig(tap=tap), statistics[tap]) for tap in TAPS]
    with pytest.raises(ValueError, match="as many thresholds as layers, got 2 and 3"):
        MultilayerIBA(MultilayerIBAConfig(thresholds=[1.0, 1.0]), layers)
