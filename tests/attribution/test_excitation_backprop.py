"""Excitation backprop against the share of evidence that each cell must get."""

import torch
from torch.nn import functional as F

from attribution.base import SCORES
from attribution.config import ExcitationBackpropConfig, Score
from attribution.excitation_backprop import ExcitationBackprop

TARGETS = torch.tensor([2, 0, 1, 3])


def explain(model, images, tap="final", score=Score.logit):
    return ExcitationBackprop(ExcitationBackpropConfig(tap=tap))(
        model, images, TARGETS, score=SCORES[score], seeds=[0] * 4
    )


def test_at_the_last_feature_map_it_is_the_share_of_each_cell_in_the_positive_evidence(
    classifier, images
):
    found = explain(classifier, images)
    with torch.no_grad():
        features = classifier.forward_to("final", images)
    weight = classifier.head[-1].weight[TARGETS].clamp(min=0)
    evidence = (weight[:, :, None, None] * features).sum(1, keepdim=True)
    expected = evidence / evidence.sum((2, 3), keepdim=True)
    expected = F.interpolate(expected, (32, 32), mode="bilinear")[:, 0].detach()
    torch.testing.assert_close(found.maps, expected)
    torch.testing.assert_close(found.diagnostics["relevance"], torch.ones(4))
    torch.testing.assert_close(
        found.diagnostics["score"], SCORES[Score.logit](classifier(images), TARGETS).detach()
    )


def test_at_an_earlier_tap_it_never_turns_negative_and_loses_at_dead_cells_only(classifier, images):
    found = explain(classifier, images, tap="block3")
    assert found.maps.min() >= 0
    assert (found.diagnostics["relevance"] <= 1 + 1e-5).all()
    assert (found.diagnostics["relevance"] > 0.5).all()
