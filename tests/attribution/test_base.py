"""Scores, targets and maps at the border of every method; a frozen model comes back as it was."""

import contextlib

import pytest
import torch
from torch import nn

from attribution.base import (
    SCORES,
    Attribution,
    check_batch,
    frozen,
    generators,
    own_prediction,
)
from attribution.config import Score


def test_scores_are_the_targets_logit_its_sigmoid_and_the_raw_output():
    outputs = torch.tensor([[0.5, -2.0], [3.0, 4.0]])
    targets = torch.tensor([1, 0])
    assert SCORES[Score.logit](outputs, targets).tolist() == [-2.0, 3.0]
    expected = [1 / (1 + torch.e**2), 1 / (1 + torch.e**-3)]
    assert SCORES[Score.sigmoid](outputs, targets).tolist() == pytest.approx(expected)
    severity, reference = torch.tensor([[7.5], [11.0]]), torch.tensor([7.0, 14.0])
    for any_targets in (torch.zeros(2, dtype=torch.int64), reference):
        assert SCORES[Score.output](severity, any_targets).tolist() == [7.5, 11.0]
    assert SCORES[Score.squared_deviation](severity, reference).tolist() == [0.25, 9.0]


def test_the_squared_deviation_from_the_models_own_prediction_is_zero_at_the_image():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(12, 1)).train()
    images = torch.randn(3, 3, 2, 2)
    targets = own_prediction(model, images)
    assert model.training
    assert targets.dtype == torch.float32
    assert not targets.requires_grad
    outputs = model.eval()(images)
    assert (SCORES[Score.squared_deviation](outputs, targets) == 0).all()
    moved = SCORES[Score.squared_deviation](outputs - 2, targets)
    torch.testing.assert_close(moved, torch.full((3,), 4.0))


@pytest.mark.parametrize("score", [Score.output, Score.squared_deviation])
def test_the_score_of_a_regressor_refuses_a_classifier(score):
    with pytest.raises(ValueError, match=r"\(2, 3\), but a regressor's are \(N, 1\)"):
        SCORES[score](torch.zeros(2, 3), torch.zeros(2))


def test_targets_of_the_wrong_kind_are_refused_with_what_the_score_needs():
    with pytest.raises(ValueError, match="needs int64"):
        SCORES[Score.logit](torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(ValueError, match="needs float32"):
        SCORES[Score.squared_deviation](torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("score", [Score.logit, Score.sigmoid])
def test_a_target_that_the_model_does_not_have_is_named(score):
    with pytest.raises(ValueError, match=r"\[1, 2\].*2 output"):
        SCORES[score](torch.zeros(2, 2), torch.tensor([1, 2]))


def test_every_setting_of_score_has_a_function():
    assert set(SCORES) == set(Score)


def test_a_map_with_nan_is_refused_with_the_rows_of_the_batch():
    maps = torch.zeros(4, 2, 2)
    maps[1, 0, 0], maps[3, 1, 1] = torch.nan, torch.inf
    with pytest.raises(FloatingPointError, match=r"\[1, 3\]"):
        Attribution(maps)


@pytest.mark.parametrize("maps", [torch.zeros(2, 2, 2, dtype=torch.float64), torch.zeros(2, 2)])
def test_maps_of_another_type_or_shape_are_refused(maps):
    with pytest.raises(ValueError, match="float32"):
        Attribution(maps)


def test_a_frozen_model_comes_back_as_it_was_even_after_an_error():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
    model[0].bias.requires_grad_(False)
    model[1].eval()
    with contextlib.suppress(KeyError), frozen(model):
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())
        raise KeyError
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]


@pytest.mark.parametrize(
    ("images", "targets", "seeds", "message"),
    [
        (torch.zeros(2, 3, 4, 4), torch.zeros(1, dtype=torch.int64), [0, 1], "targets"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2).double(), [0, 1], "int64.*float64"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2), [0], "seeds"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64), [0], "seeds"),
        (torch.zeros(3, 4, 4), torch.zeros(3, dtype=torch.int64), [0, 1, 2], "images"),
        (torch.zeros(0, 3, 4, 4), torch.zeros(0, dtype=torch.int64), [], "images"),
    ],
)
def test_a_batch_that_does_not_fit_together_is_refused(images, targets, seeds, message):
    with pytest.raises(ValueError, match=message):
        check_batch(images, targets, seeds)


def test_generators_leave_the_global_state_alone():
    before = torch.get_rng_state()
    torch.rand(3, generator=generators([5])[0])
    assert torch.equal(before, torch.get_rng_state())
