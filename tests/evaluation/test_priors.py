"""Priors must know where findings lie in other patients, and nothing of the patient judged."""

import numpy as np
import pytest

from evaluation.localization import box_mask
from evaluation.priors import PRIORS, class_prior, location_prior, whole_image


@pytest.fixture
def boxes():
    rng = np.random.default_rng(0)
    masks = np.stack([box_mask(*rng.uniform(50, 500, 4), side=24) for _ in range(30)])
    return masks, rng.integers(12, size=30), rng.choice(["Mass", "Nodule", "Effusion"], 30)


def every(prior, masks, patients, findings):
    """The prior's maps of all rows."""
    return prior(lambda rows: masks[rows], patients, findings)(np.arange(len(masks)))


def test_each_prior_is_the_mean_over_the_boxes_of_other_patients(boxes):
    masks, patients, findings = boxes
    for i in range(30):
        others = patients != patients[i]
        same = others & (findings == findings[i])
        location = every(location_prior, masks, patients, findings)[i]
        np.testing.assert_allclose(location, masks[others].mean(axis=0), rtol=1e-6)
        by_class = every(class_prior, masks, patients, findings)[i]
        np.testing.assert_allclose(by_class, masks[same].mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("prior", [location_prior, class_prior])
def test_a_patients_own_boxes_do_not_touch_his_priors_but_do_touch_others(boxes, prior):
    masks, patients, findings = boxes
    own = patients == patients[0]
    changed = masks.copy()
    changed[own] = ~changed[own]
    before, after = (every(prior, each, patients, findings) for each in (masks, changed))
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).any()


@pytest.mark.parametrize("name", sorted(PRIORS))
def test_maps_are_float32_in_zero_to_one_and_do_not_depend_on_the_batch(boxes, name):
    masks, patients, findings = boxes
    whole = every(PRIORS[name], masks, patients, findings)
    assert whole.dtype == np.float32
    assert whole.shape == masks.shape
    assert whole.min() >= 0
    assert 0 < whole.max() <= 1
    maps_of = PRIORS[name](lambda rows: masks[rows], patients, findings)
    parts = [maps_of(np.arange(i, min(i + 7, 30))) for i in range(0, 30, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("prior", [location_prior, class_prior])
def test_priors_follow_their_rows_when_these_are_shuffled(boxes, prior):
    masks, patients, findings = boxes
    shuffle = np.random.default_rng(1).permutation(30)
    np.testing.assert_array_equal(
        every(prior, masks, patients, findings)[shuffle],
        every(prior, masks[shuffle], patients[shuffle], findings[shuffle]),
    )


def test_a_finding_boxed_in_one_patient_only_falls_back_to_the_location_prior(boxes):
    masks, patients, findings = boxes
    findings = findings.astype("U12")
    alone = patients == patients[3]
    findings[alone] = "Hernia"
    by_class = every(class_prior, masks, patients, findings)
    location = every(location_prior, masks, patients, findings)
    np.testing.assert_array_equal(by_class[alone], location[alone])
    assert (by_class[~alone] != location[~alone]).any()


def test_the_whole_image_is_constant_one(boxes):
    assert (every(whole_image, *boxes) == 1).all()


@pytest.mark.parametrize("prior", [location_prior, class_prior])
def test_a_prior_without_other_patients_is_refused(prior):
    with pytest.raises(ValueError, match="boxes of other patients"):
        every(prior, np.ones((3, 4, 4), bool), [5, 5, 5], ["Mass", "Mass", "Nodule"])


def test_few_masks_are_asked_for_at_a_time_however_many_boxes_there_are():
    asked = []

    def masks(rows):
        asked.append(len(rows))
        return rows[:, None, None] % np.arange(1, 17).reshape(4, 4) == 0

    patients, findings = np.arange(1000) // 2, np.arange(1000) % 3
    maps_of = class_prior(masks, patients, findings)
    for start in range(0, 1000, 50):
        maps_of(np.arange(start, start + 50))
    assert max(asked) <= 64
