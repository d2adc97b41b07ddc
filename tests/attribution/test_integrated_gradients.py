"""Integrated gradients: completeness, closed forms, nothing shared within a batch."""

import pytest
import torch
from torch import nn

from attribution.base import SCORES, own_prediction
from attribution.config import IntegratedGradientsConfig, PathReduction, Score
from attribution.integrated_gradients import IntegratedGradients

TARGETS = torch.tensor([2, 0, 1, 3])


def explain(model, images, targets=TARGETS, score=Score.logit, rows=slice(None), **settings):
    return IntegratedGradients(IntegratedGradientsConfig(**settings))(
        model, images[rows], targets[rows], score=SCORES[score], seeds=[0] * len(images[rows])
    )


def test_the_sum_of_the_attribution_is_the_scores_change_from_the_grey_image(classifier, images):
    for score in (Score.logit, Score.sigmoid):
        found = explain(classifier, images, score=score).diagnostics
        ends, starts = (
            SCORES[score](classifier(x), TARGETS).detach() for x in (images, 0 * images)
        )
        torch.testing.assert_close(found["score"], ends)
        torch.testing.assert_close(found["baseline_score"], starts)
        change = (ends - starts).abs()
        assert (change > 1e-3).all()
        assert (found["completeness_error"].abs() < 0.01 * change.clamp(min=1)).all()


def test_completeness_fails_where_the_path_is_cut_too_coarsely(classifier, images):
    errors = [
        explain(classifier, images, steps=steps).diagnostics["completeness_error"].abs().mean()
        for steps in (1, 4, 64)
    ]
    assert errors[0] > 1.5 * errors[1] > 3 * errors[2]


class Square(nn.Module):
    """x^2 summed over the pixels: the attribution of each value is its square."""

    def forward(self, images):
        return images.square().sum((1, 2, 3))[:, None]


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        (PathReduction.abs_sum, lambda x: x.square().sum(1)),
        (PathReduction.signed_mean, lambda x: x.square().mean(1)),
    ],
)
def test_equals_the_closed_form_of_a_quadratic_score(images, reduction, expected):
    found = explain(Square(), images, torch.zeros(4), Score.output, reduction=reduction)
    torch.testing.assert_close(found.maps, expected(images), rtol=1e-4, atol=1e-5)


class Difference(nn.Module):
    """Channel 0 less channel 1."""

    def forward(self, images):
        return (images[:, 0] - images[:, 1]).sum((1, 2))[:, None]


def test_evidence_of_both_signs_adds_up_or_cancels(images):
    images = torch.ones(4, 3, 4, 4)
    for reduction, value in ((PathReduction.abs_sum, 2.0), (PathReduction.signed_mean, 0.0)):
        found = explain(Difference(), images, torch.zeros(4), Score.output, reduction=reduction)
        torch.testing.assert_close(found.maps, torch.full((4, 4, 4), value))


def test_the_memory_bound_changes_nothing(classifier, images):
    whole = explain(classifier, images, steps=20, internal_batch_size=20)
    pieces = explain(classifier, images, steps=20, internal_batch_size=3)
    torch.testing.assert_close(whole.maps, pieces.maps, rtol=1e-3, atol=1e-6)


def test_a_map_does_not_depend_on_the_other_images_of_the_batch_to_the_bit(classifier, images):
    together = explain(classifier, images, steps=10).maps
    assert torch.equal(explain(classifier, images, rows=slice(1, 2), steps=10).maps, together[1:2])


def test_squared_deviation_from_the_models_own_prediction_falls_to_zero(regressor, images):
    targets = own_prediction(regressor, images)
    found = explain(regressor, images, targets, Score.squared_deviation, steps=200).diagnostics
    grey = regressor(0 * images[:1]).item()
    assert (found["score"] == 0).all()
    torch.testing.assert_close(found["baseline_score"], (grey - targets).square())
    assert (found["completeness_error"].abs() < 0.01).all()


def test_works_where_the_caller_has_switched_gradients_off(images):
    with torch.no_grad():
        found = explain(Difference(), images, torch.zeros(4), Score.output)
    assert found.maps.max() > 0


def test_no_steps_are_refused():
    for settings in ({"steps": 0}, {"internal_batch_size": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            IntegratedGradients(IntegratedGradientsConfig(**settings))
