"""The Brixia score: which strings are scores, and which labels follow from them."""

import itertools

import numpy as np

from data.brixia_score import DETECTORS, ZONES, label_columns, parse_scores, zones_of

ALL = np.array(list(itertools.product(range(4), repeat=6)), np.uint8)  # all 4,096 scores


def test_every_score_is_read_back_with_its_sum():
    digits = ["".join(map(str, score)) for score in ALL]
    scores, reasons = parse_scores(digits, [str(score.sum()) for score in ALL], "Total")
    assert scores.dtype == np.uint8
    np.testing.assert_array_equal(scores, ALL)
    assert not any(reasons)


def test_what_is_no_score_is_told_from_one_that_does_not_add_up():
    texts = ["31", "12345678", "00x000", "004000", "", "１２３０００", "112233", "112233", "112233"]
    _, reasons = parse_scores(texts, ["4", "36", "0", "4", "0", "6", "13", "", "12.0"], "Total")
    assert all("not six digits from 0 to 3" in reason for reason in reasons[:6])
    assert all("does not add up to Total" in reason for reason in reasons[6:8])
    assert not any(text in reason for text, reason in zip(texts, reasons, strict=True) if text)
    assert reasons[8] == ""


def test_detectors_look_for_their_scores_in_any_zone():
    labels = label_columns(ALL)
    assert list(labels.columns) == [*ZONES, "score", *DETECTORS]
    assert (labels.dtypes == np.uint8).all()
    for score, row in zip(ALL[::7], labels.iloc[::7].to_dict("records"), strict=True):
        zones = set(score.tolist())
        assert row["score"] == sum(score.tolist())
        assert row["Detector01"] == bool(zones & {0, 1})
        assert row["Detector2"] == (2 in zones)
        assert row["Detector3"] == (3 in zones)


def test_each_zone_belongs_to_exactly_one_detector():
    found = np.stack([zones_of(detector, ALL) for detector in DETECTORS])
    assert (found.sum(axis=0) == 1).all()
