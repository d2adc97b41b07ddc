"""Both losses of regression IBA against a plain loop over the equations."""

import pytest
import torch
from scipy.stats import spearmanr

from attribution.base import SCORES
from attribution.config import RegressionIBAConfig, Score
from attribution.regression_iba import MSEIBA, DeviationIBA, MaximisingIBA

METHODS = [MSEIBA, MaximisingIBA, DeviationIBA]
REFERENCES = torch.tensor([4.0, 0.0, 18.0, 7.5])
BETA = 0.3


@pytest.fixture(scope="module")
def images(images):
    """Of different contrast, so that the outputs differ too."""
    return images * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None, None]


@pytest.fixture(scope="module")
def statistics(regressor, statistics_of):
    return statistics_of(regressor)


def explain(method, model, images, statistics, rows=slice(None), targets=REFERENCES, **settings):
    config = RegressionIBAConfig(**({"beta": BETA} | settings))
    return method(config, statistics[config.tap])(
        model,
        images[rows],
        targets[rows],
        score=SCORES[Score.output],
        seeds=range(4)[rows],
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tap", ["block2", "block3"])
def test_equals_a_plain_loop_over_the_equations_with_the_same_noise(
    method, tap, regressor, images, statistics, plain_loop
):
    found = explain(method, regressor, images, statistics, tap=tap, noise_samples=4)
    config = RegressionIBAConfig(tap=tap, noise_samples=4, beta=BETA)
    for row in range(4):
        with torch.no_grad():
            features = regressor.forward_to(tap, images[row : row + 1])[0]
            own = float(regressor(images[row : row + 1]))
        losses = {
            MSEIBA: lambda outputs, y=float(REFERENCES[row]): (outputs[0] - y) ** 2,
            MaximisingIBA: lambda outputs: -(outputs[0] ** 2),
            DeviationIBA: lambda outputs, own=own: (outputs[0] - own) ** 2,
        }
        expected = plain_loop(
            features,
            lambda z: regressor.forward_from(tap, z),
            losses[method],
            row,
            statistics[tap],
            config,
            (32, 32),
        )
        assert expected.sum() > 1
        assert spearmanr(found.maps[row].flatten(), expected.flatten()).statistic > 0.999
        torch.testing.assert_close(found.maps[row], expected, rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_does_not_depend_on_the_other_images_of_the_batch(
    method, regressor, images, statistics
):
    together = explain(method, regressor, images, statistics).maps
    for start, stop in ((0, 1), (1, 4)):
        apart = explain(method, regressor, images, statistics, slice(start, stop)).maps
        for alone, among in zip(apart, together[start:stop], strict=True):
            assert spearmanr(alone.flatten(), among.flatten()).statistic > 0.999


def test_only_the_mean_squared_error_reads_the_reference_scores(regressor, images, statistics):
    for method in METHODS:
        maps, others = (
            explain(method, regressor, images, statistics, targets=targets).maps
            for targets in (REFERENCES, REFERENCES + 3)
        )
        assert torch.equal(maps, others) == (method is not MSEIBA)


def test_free_of_charge_each_loss_pulls_the_output_its_own_way(regressor, images, statistics):
    found = {
        method: explain(method, regressor, images, statistics, beta=0.0, steps=30).diagnostics
        for method in METHODS
    }
    own = found[DeviationIBA]["score"]
    torch.testing.assert_close(own, regressor(images)[:, 0].detach())
    assert (found[MaximisingIBA]["bottleneck_score"] > own + 0.3).all()
    torch.testing.assert_close(found[DeviationIBA]["bottleneck_score"], own, rtol=0, atol=0.05)
    distance = (found[MSEIBA]["bottleneck_score"] - REFERENCES).abs()
    assert (distance < (own - REFERENCES).abs()).all()


def test_the_first_losses_are_those_of_an_open_mask(regressor, images, statistics):
    own = regressor(images)[:, 0].detach()
    expected = {
        MSEIBA: (own - REFERENCES).square(),
        MaximisingIBA: -own.square(),
        DeviationIBA: torch.zeros(4),
    }
    for method in METHODS:
        found = explain(method, regressor, images, statistics, initial_alpha=40.0, steps=1)
        torch.testing.assert_close(
            found.diagnostics["model_loss_first"], expected[method], rtol=1e-4, atol=1e-4
        )


def test_a_classifier_and_class_indices_are_refused(regressor, classifier, images, statistics):
    for method in METHODS:
        with pytest.raises(ValueError, match=r"\(4, 4\).*\(N, 1\)"):
            explain(method, classifier, images, statistics)
    indices = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"float32, got torch.int64"):
        explain(MSEIBA, regressor, images, statistics, targets=indices)
    explain(DeviationIBA, regressor, images, statistics, targets=indices)
