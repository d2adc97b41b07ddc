"""What chooses the best epoch: AUC, Dice and the absolute error."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from models.validation_metrics import MEAN_ABSOLUTE_ERROR, MEAN_AUC, MEAN_DICE, dice_per_image

RNG = np.random.default_rng(0)


def test_mean_auc_is_over_the_classes_that_have_both_labels():
    logits = RNG.normal(size=(40, 3))
    labels = (RNG.random((40, 3)) < 0.4).astype(float)
    labels[:, 1] = 0
    expected = np.mean([roc_auc_score(labels[:, k], logits[:, k]) for k in (0, 2)])
    assert MEAN_AUC.of(logits, labels) == pytest.approx(expected)
    assert np.isnan(MEAN_AUC.of(logits, np.zeros((40, 3))))


def test_dice_is_the_f1_score_of_the_pixels_of_each_image():
    logits = RNG.normal(size=(5, 1, 8, 8))
    truth = (RNG.random((5, 1, 8, 8)) < 0.5).astype(float)
    scores = [f1_score(t.ravel() > 0.5, m.ravel() > 0) for t, m in zip(truth, logits, strict=True)]
    np.testing.assert_allclose(dice_per_image(logits > 0, truth > 0.5), scores)
    assert MEAN_DICE.of(logits, truth) == pytest.approx(np.mean(scores))


def test_two_empty_masks_agree_and_one_empty_mask_does_not():
    empty, full = np.zeros((1, 4, 4), bool), np.ones((1, 4, 4), bool)
    assert dice_per_image(empty, empty) == 1
    assert dice_per_image(empty, full) == 0


def test_the_absolute_error_is_in_units_of_the_score():
    assert MEAN_ABSOLUTE_ERROR.of(np.array([[1.0], [4.0]]), np.array([[3.0], [4.5]])) == 1.25
