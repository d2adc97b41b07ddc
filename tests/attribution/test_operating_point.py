"""The search for beta finds the largest that keeps a rule, and says where none does."""

import math

import pytest
import torch

from attribution.config import IBAConfig, OperatingPointsConfig
from attribution.iba import IBA, InverseIBA
from attribution.operating_point import (
    KEEPS_PROBABILITY,
    KEEPS_SCORE,
    LOSES_PROBABILITY,
    NEAR_SCORE,
    Behind,
    chosen,
    judge,
    search,
)
from attribution.regression_iba import MSEIBA, DeviationIBA, MaximisingIBA
from attribution.statistics import FeatureStatistics

CONFIG = OperatingPointsConfig(lowest=0.01, highest=1000.0, rounds=10)
STEP = (CONFIG.highest / CONFIG.lowest) ** (1 / 2**CONFIG.rounds)
NONE = torch.zeros(5)


def falling(scale):
    """Five films of probability .8, of which a bottleneck keeps 1 / (1 + beta / scale)."""
    scores = torch.tensor([0.6, 0.7, 0.8, 0.9, 0.95])
    return lambda beta: Behind(100 / beta * torch.ones(5), scores, scores / (1 + beta / scale))


def rising(scale):
    """What Inverse IBA leaves: nothing at beta 0, all at large ones."""
    kept = falling(scale)
    return lambda beta: kept(beta)._replace(behind=kept(beta).score - kept(beta).behind)


@pytest.mark.parametrize("scale", [0.1, 7.0, 300.0])
def test_iba_takes_the_largest_beta_that_keeps_nine_tenths_and_a_step_more_does_not(scale):
    measure = falling(scale)
    found = chosen(search(measure, NONE, KEEPS_PROBABILITY, CONFIG))
    assert found.met
    # 1 / (1 + beta / scale) = .9
    assert scale / 9 / STEP**1.1 <= found.beta <= scale / 9 * 1.001
    larger = judge(found.beta * STEP**1.1, measure(found.beta * STEP**1.1), NONE, KEEPS_PROBABILITY)
    assert not larger.met
    assert found.score_behind == pytest.approx(0.8 / (1 + found.beta / scale), rel=1e-5)
    assert found.bits == pytest.approx(100 / found.beta, rel=1e-5)


@pytest.mark.parametrize(
    ("absent", "share"), [(0.0, 0.1), (0.04, 0.1), (0.2, 0.25)]
)  # a tenth of .8 is .08, so that what films without it have counts above it
def test_inverse_iba_leaves_a_tenth_or_what_films_without_have_whichever_is_more(absent, share):
    films = torch.full((5,), absent)
    found = chosen(search(rising(5.0), films, LOSES_PROBABILITY, CONFIG))
    # beta / (beta + scale) = share
    exact = 5 * share / (1 - share)
    assert exact / STEP**1.1 <= found.beta <= exact * 1.001


def test_the_score_may_move_by_half_a_point_either_way():
    scores = torch.tensor([4.0, 8.0, 12.0])

    def measure(beta):
        return Behind(scores, scores, scores + torch.tensor([-1.0, 1.0, 3.0]) * beta)

    found = chosen(search(measure, torch.zeros(3), NEAR_SCORE, CONFIG))
    assert 0.5 / STEP**1.1 <= found.beta <= 0.5  # the median film moves by beta
    assert found.share_met == pytest.approx(2 / 3)


def test_a_score_that_is_kept_may_rise_and_not_fall():
    scores = torch.tensor([4.0, 8.0, 12.0])

    def measure(beta):
        return Behind(scores, scores, scores + 20 - beta)

    found = chosen(search(measure, torch.zeros(3), KEEPS_SCORE, CONFIG))
    assert 20 / STEP**1.1 <= found.beta <= 20
    assert found.share_met == 1


def test_where_no_beta_keeps_the_rule_the_nearest_is_taken_and_said():
    def measure(beta):
        return Behind(torch.ones(5), torch.full((5,), 0.8), torch.full((5,), 0.5 - beta / 10))

    tried = search(measure, NONE, KEEPS_PROBABILITY, CONFIG)
    found = chosen(tried)
    assert not found.met
    assert found.share_met == 0
    assert found.excess > 0
    near = [each.beta for each in tried if each.excess <= tried[-1].excess + 0.05 * 0.72]
    assert found.beta == max(near)


def test_where_less_of_beta_buys_nothing_the_largest_of_the_nearest_is_taken():
    def measure(beta):
        left = 0.27 if beta <= 0.2 else 0.6
        return Behind(torch.ones(5), torch.full((5,), 0.8), torch.full((5,), left))

    tried = search(measure, NONE, LOSES_PROBABILITY, CONFIG)
    found = chosen(tried)
    assert not found.met
    assert found.beta == max(each.beta for each in tried if each.beta <= 0.2)


def test_where_every_beta_keeps_the_rule_the_largest_is_taken():
    found = chosen(search(falling(1e9), NONE, KEEPS_PROBABILITY, CONFIG))
    assert found.met
    assert found.beta == pytest.approx(CONFIG.highest, rel=2 * math.log(STEP))


def test_each_beta_is_tried_once_and_within_the_bounds():
    tried = search(falling(3.0), NONE, KEEPS_PROBABILITY, CONFIG)
    betas = [each.beta for each in tried]
    assert len(set(betas)) == len(betas) == CONFIG.rounds
    assert all(CONFIG.lowest < beta < CONFIG.highest for beta in betas)


def test_the_rules_are_those_that_the_methods_say():
    rules = {method: method.rule for method in (IBA, InverseIBA, MSEIBA, MaximisingIBA)}
    assert list(rules.values()) == [KEEPS_PROBABILITY, LOSES_PROBABILITY, NEAR_SCORE, KEEPS_SCORE]
    assert DeviationIBA.rule is NEAR_SCORE
    for method in rules:
        assert "beta: auto is the largest" in " ".join(method.__doc__.split())


def test_a_bottleneck_is_not_fitted_before_its_beta_is_found():
    one = torch.ones(1, 2, 2)
    with pytest.raises(ValueError, match="beta is 'auto': a bottleneck is fitted at a number"):
        IBA(IBAConfig(beta="auto"), FeatureStatistics("block3", one, one, one, 2))


def test_a_whole_number_and_its_decimal_are_one_beta():
    assert IBAConfig(beta=20) == IBAConfig(beta=20.0)
    assert repr(IBAConfig(beta=20).beta) == "20.0"
