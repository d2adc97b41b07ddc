"""IoU and cross-fitting against brute force, planted truth and the official boxes."""

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.config import BoxRounding
from evaluation.localization import (
    BITS_PER_PIXEL,
    best_threshold,
    box_mask,
    box_masks,
    cross_fit,
    cross_fitted_samples,
    iou_curve,
    patient_folds,
    threshold_grid,
)
from evaluation.priors import PRIORS

THRESHOLDS = threshold_grid(99)


def brute_force_iou(heat, truth, threshold):
    peak = heat.astype(np.float64).max()
    if peak <= 0:
        return 0.0
    predicted = heat.astype(np.float64) / peak > threshold
    return (predicted & truth).sum() / (predicted | truth).sum()


def random_curves(seed, num_samples=60, num_patients=25):
    rng = np.random.default_rng(seed)
    return rng.random((num_samples, 99)), rng.integers(num_patients, size=num_samples)


coordinate = st.floats(0, 1023, allow_nan=False)
length = st.floats(0.01, 1024, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(x=coordinate, y=coordinate, w=length, h=length, side=st.integers(4, 64))
def test_a_pixel_is_in_the_box_exactly_when_its_centre_is(x, y, w, h, side):
    mask = box_mask(x, y, w, h, side)
    centre = (np.arange(side) + 0.5) * 1024 / side
    columns = (centre >= x) & (centre < x + w)
    rows = (centre >= y) & (centre < y + h)
    if columns.any() and rows.any():
        far_from_edges = all(
            np.abs(centre - edge).min() > 1e-9 * 1024 for edge in (x, y, x + w, y + h)
        )
        if far_from_edges:
            np.testing.assert_array_equal(mask, np.outer(rows, columns))
    assert mask.any()


def test_a_box_thinner_than_a_pixel_covers_the_pixel_that_holds_its_middle():
    mask = box_mask(x=161, y=322, w=1, h=1, side=64)  # 16 px of the frame to a pixel
    assert [tuple(p) for p in np.argwhere(mask)] == [(20, 10)]
    thin = box_mask(x=161, y=0, w=1, h=1024, side=64)
    assert thin.sum() == 64
    assert thin[:, 10].all()
    between_centres = box_mask(x=9.6, y=0, w=12.8, h=1024, side=64)
    assert np.argwhere(between_centres.any(axis=0)).tolist() == [[1]]


def test_the_mask_is_row_then_column():
    mask = box_mask(x=512, y=0, w=512, h=256, side=8)
    np.testing.assert_array_equal(np.argwhere(mask), [(r, c) for r in (0, 1) for c in (4, 5, 6, 7)])


def test_a_box_over_the_edge_is_cut_off_there():
    assert box_mask(x=-512, y=0, w=1024, h=4096, side=8).sum() == 4 * 8


@pytest.mark.parametrize("rounding", list(BoxRounding))
def test_a_box_that_ends_in_half_a_pixel_at_the_border_covers_the_pixel_there(rounding):
    at_the_end = box_mask(1023, 1023, 5, 5, 8, rounding=rounding)
    assert np.argwhere(at_the_end).tolist() == [[7, 7]]
    at_the_start = box_mask(-100, -100, 110, 110, 8, rounding=rounding)
    assert np.argwhere(at_the_start).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "box",
    [
        *((5, 5, 0, 5), (5, 5, 5, 0), (0, 0, 5, -1), (1024, 0, 5, 5), (0, 1024, 5, 5)),
        *((-5, 0, 5, 5), (0, -5, 5, 5), (np.nan, 0, 5, 5), (0, 0, np.inf, 5)),
    ],
)
def test_a_box_without_area_or_outside_the_frame_is_refused_with_its_numbers(box):
    with pytest.raises(ValueError, match=r"box x="):
        box_mask(*box, side=16)


def test_truncated_boxes_are_never_larger_than_their_area():
    rng = np.random.default_rng(0)
    for x, y, w, h in rng.uniform(40, 500, size=(200, 4)):
        mask = box_mask(x, y, w, h, 224, rounding=BoxRounding.truncated)
        assert mask.sum() <= w * h * (224 / 1024) ** 2


@settings(max_examples=60, deadline=None)
@given(x=coordinate, y=coordinate, w=length, h=length, side=st.integers(4, 64))
def test_a_truncated_box_has_its_numbers_cut_to_integers(x, y, w, h, side):
    mask = box_mask(x, y, w, h, side, rounding=BoxRounding.truncated)
    left, top, width, height = (int(value * side / 1024) for value in (x, y, w, h))
    expected = np.zeros((side, side), bool)
    expected[top : top + height, left : left + width] = True
    if width and height:
        np.testing.assert_array_equal(mask, expected)
    assert mask.any()


def test_masks_of_samples_are_those_of_their_boxes_in_order():
    samples = pd.DataFrame([(100, 200, 300, 150), (700, 10, 90, 400)], columns=list("xywh"))
    for rounding in BoxRounding:
        expected = [box_mask(*box, 56, rounding=rounding) for box in samples.to_numpy()]
        np.testing.assert_array_equal(box_masks(samples, 56, rounding), expected)
    np.testing.assert_array_equal(
        box_masks(samples, 56), box_masks(samples, 56, BoxRounding.centre)
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    side=st.integers(1, 9),
    levels=st.lists(st.floats(0, 0.999), min_size=1, max_size=7, unique=True),
    kind=st.sampled_from(["normal", "coarse", "binary", "negative", "tiny"]),
)
def test_the_iou_curve_equals_brute_force(seed, side, levels, kind):
    rng = np.random.default_rng(seed)
    heat = rng.normal(size=(3, side, side)).astype(np.float32)
    if kind == "coarse":
        heat = np.round(heat)
    elif kind == "binary":
        heat = (heat > 0).astype(np.float32)
    elif kind == "negative":
        heat = -np.abs(heat)
    elif kind == "tiny":
        heat = heat * np.float32(1e-40)
    truth = rng.random((3, side, side)) < 0.4
    truth[:, 0, 0] = True
    levels = sorted(levels)
    expected = [
        [brute_force_iou(m, t, level) for level in levels] for m, t in zip(heat, truth, strict=True)
    ]
    np.testing.assert_array_equal(iou_curve(heat, truth, levels), expected)


def test_values_exactly_at_a_threshold_are_not_predicted():
    heat = np.array([[[1.0, 0.5, 0.25, 0.0]]], dtype=np.float32)
    truth = np.array([[[True, True, True, True]]])
    np.testing.assert_array_equal(iou_curve(heat, truth, [0.0, 0.25, 0.5]), [[0.75, 0.5, 0.25]])


def test_a_map_that_is_the_box_has_iou_one_and_the_whole_image_the_area_fraction():
    truth = np.stack([box_mask(100, 200, 300, 150, 56), box_mask(700, 10, 90, 400, 56)])
    assert (iou_curve(truth.astype(np.float32), truth, THRESHOLDS) == 1).all()
    whole = iou_curve(np.ones(truth.shape, np.float32), truth, THRESHOLDS)
    expected = np.broadcast_to(truth.mean(axis=(1, 2))[:, None], whole.shape)
    np.testing.assert_allclose(whole, expected)


def test_the_iou_does_not_depend_on_the_scale_of_a_map():
    heat, truth = np.random.default_rng(0).random((2, 16, 16)), np.ones((2, 16, 16), bool)
    truth[:, :, 5:] = False
    curve = iou_curve(heat, truth, THRESHOLDS)
    np.testing.assert_array_equal(curve, iou_curve(heat * 2.0**-20, truth, THRESHOLDS))


def test_absolute_thresholds_keep_the_unit_of_the_map():
    heat = 0.02 * np.random.default_rng(0).random((3, 9, 9)).astype(np.float32)
    truth = np.random.default_rng(1).random((3, 9, 9)) < 0.4
    levels = BITS_PER_PIXEL[::10]
    np.testing.assert_allclose(levels[[0, 2, -1]], [1e-4, 1e-3, 10])
    expected = [
        [((m > t) & g).sum() / ((m > t) | g).sum() for t in levels]
        for m, g in zip(heat.astype(np.float64), truth, strict=True)
    ]
    curves = iou_curve(heat, truth, levels, scale=1)
    np.testing.assert_array_equal(curves, expected)
    assert (curves[:, -1] == 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_refused_by_the_samples_name(bad):
    heat, truth = np.zeros((2, 4, 4), np.float32), np.ones((2, 4, 4), bool)
    heat[1, 2, 3] = bad
    with pytest.raises(ValueError, match="sample film_7"):
        iou_curve(heat, truth, THRESHOLDS, names=["film_6", "film_7"])


def test_an_empty_truth_mask_and_wrong_thresholds_are_refused():
    heat, truth = np.ones((1, 4, 4), np.float32), np.zeros((1, 4, 4), bool)
    with pytest.raises(ValueError, match="truth mask of sample 0 is empty"):
        iou_curve(heat, truth, THRESHOLDS)
    for wrong in ([0.5, 0.5], [0.6, 0.5], [1.0], [-0.1], []):
        with pytest.raises(ValueError, match="thresholds"):
            iou_curve(heat, ~truth, wrong)


def test_maps_thresholds_and_truth_of_other_shapes_are_refused():
    heat, truth = np.ones((1, 4, 4), np.float32), np.ones((1, 4, 4), bool)
    with pytest.raises(ValueError, match="thresholds"):
        iou_curve(heat, truth, [[0.1], [0.2]])
    for maps, mask in ((heat, truth[:, :3]), (heat[0], truth[0])):
        with pytest.raises(ValueError, match="must share one"):
            iou_curve(maps, mask, THRESHOLDS)
    assert iou_curve(heat, truth, [0.5, 1.5], scale=1).tolist() == [[1, 0]]
    with pytest.raises(ValueError, match="thresholds"):
        iou_curve(heat, truth, [0.5, np.inf], scale=1)


def test_the_grid_of_99_is_one_hundredth_to_ninety_nine():
    np.testing.assert_allclose(THRESHOLDS, [k / 100 for k in range(1, 100)])


@settings(max_examples=50, deadline=None)
@given(
    patients=st.lists(st.integers(0, 20), min_size=2, max_size=60).filter(
        lambda p: len(set(p)) > 1
    ),
    seed=st.integers(0, 100),
)
def test_folds_keep_patients_whole_and_balance_the_boxes(patients, seed):
    patients = np.array(patients)
    folds = patient_folds(patients, seed)
    assert set(folds) == {"a", "b"}
    for patient in np.unique(patients):
        assert len(set(folds[patients == patient])) == 1
    largest = np.unique(patients, return_counts=True)[1].max()
    assert abs((folds == "a").sum() - (folds == "b").sum()) <= largest


@pytest.mark.parametrize("seed", range(5))
def test_patients_with_more_samples_are_placed_first_and_the_first_in_fold_a(seed):
    assert patient_folds(["u", "v", "w", "w"], seed).tolist() == ["b", "b", "a", "a"]


def test_folds_follow_the_seed_and_not_the_order_of_the_rows():
    patients = np.random.default_rng(0).integers(40, size=100)
    shuffle = np.random.default_rng(1).permutation(100)
    np.testing.assert_array_equal(
        patient_folds(patients, 3)[shuffle], patient_folds(patients[shuffle], 3)
    )
    assert (patient_folds(patients, 3) != patient_folds(patients, 4)).any()


def test_the_threshold_of_a_fold_is_the_best_of_the_other_fold():
    curves, patients = random_curves(0)
    fitted = cross_fit(curves, patients, THRESHOLDS, seed=0)
    for fold, other in (("a", "b"), ("b", "a")):
        best = max(range(99), key=lambda t: curves[fitted.folds == other, t].mean())
        assert (fitted.thresholds[fitted.folds == fold] == THRESHOLDS[best]).all()
        np.testing.assert_array_equal(
            fitted.iou[fitted.folds == fold], curves[fitted.folds == fold, best]
        )


def test_among_thresholds_that_tie_the_lowest_is_taken():
    curves, patients = np.zeros((10, 99)), np.arange(10)
    curves[:, 30:40] = 0.4
    curves[:, 35] += 1e-14  # the last bits of a sum, which depend on the order of its terms
    assert set(cross_fit(curves, patients, THRESHOLDS, seed=0).thresholds) == {THRESHOLDS[30]}
    curves[:, 35] += 1e-10
    assert set(cross_fit(curves, patients, THRESHOLDS, seed=0).thresholds) == {THRESHOLDS[35]}


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_best_thresholds_of_many_curves_are_those_of_each_at_any_scale(scale):
    curves = scale * random_curves(4)[0]
    curves[:, 20] = curves.max() * (1 + 1e-10)
    curves[:30, 10] = curves[0, 20] * (1 - 1e-14)
    assert best_threshold(curves).tolist() == [10] * 30 + [20] * 30
    assert [best_threshold(curve) for curve in curves] == best_threshold(curves).tolist()


def test_a_samples_own_curve_has_no_say_in_its_threshold():
    curves, patients = random_curves(1)
    before = cross_fit(curves, patients, THRESHOLDS, seed=0)
    changed = curves.copy()
    changed[before.folds == "a"] = 0
    after = cross_fit(changed, patients, THRESHOLDS, seed=0)
    in_a = before.folds == "a"
    np.testing.assert_array_equal(before.thresholds[in_a], after.thresholds[in_a])


def test_cross_fitting_is_invariant_to_the_order_of_the_rows():
    curves, patients = random_curves(2)
    shuffle = np.random.default_rng(0).permutation(len(curves))
    plain = cross_fit(curves, patients, THRESHOLDS, seed=0)
    shuffled = cross_fit(curves[shuffle], patients[shuffle], THRESHOLDS, seed=0)
    np.testing.assert_array_equal(plain.iou[shuffle], shuffled.iou)
    np.testing.assert_array_equal(plain.thresholds[shuffle], shuffled.thresholds)


def test_a_single_patient_cannot_be_cross_fitted_and_the_error_says_so():
    with pytest.raises(ValueError, match="two patients or more, got 1"):
        cross_fit(np.ones((5, 99)), np.zeros(5, int), THRESHOLDS, seed=0)


def test_every_sample_stands_once_in_the_frame_with_its_fold_threshold_and_iou():
    curves, patients = random_curves(3)
    samples = pd.DataFrame(
        {"sample": range(60), "image": "f.png", "patient": patients, "finding": "Mass", "x": 0.0}
    )
    frame = cross_fitted_samples(samples, curves, THRESHOLDS, seed=0)
    assert list(frame) == ["sample", "image", "patient", "finding", "fold", "threshold", "iou"]
    assert list(frame["sample"]) == list(range(60))
    place = np.searchsorted(THRESHOLDS, frame["threshold"])
    np.testing.assert_array_equal(frame["iou"], curves[np.arange(60), place])
    with pytest.raises(ValueError, match="60 samples"):
        cross_fitted_samples(samples, curves[:-1], THRESHOLDS, seed=0)


@pytest.fixture(scope="module")
def official():
    """The official boxes, read by position: the file's header is broken."""
    if "CXR_REAL" not in os.environ:
        pytest.skip("CXR_REAL is not set")
    path = Path(os.environ["CXR_REAL"]) / "nih" / "BBox_List_2017.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    frame = pd.DataFrame([row[:6] for row in rows], columns=["image", "finding", *"xywh"])
    frame[list("xywh")] = frame[list("xywh")].astype(float)
    frame["patient"] = frame["image"].str.split("_").str[0].astype(int)
    frame["sample"] = range(len(frame))
    return frame


def micro_and_macro(frame):
    return frame["iou"].mean(), frame.groupby("finding")["iou"].mean().mean()


def prior_iou(official, masks, name, step=64):
    maps_of = PRIORS[name](lambda rows: masks[rows], official["patient"], official["finding"])
    batches = np.split(np.arange(len(masks)), range(step, len(masks), step))
    curves = [iou_curve(maps_of(rows), masks[rows], THRESHOLDS) for rows in batches]
    return cross_fitted_samples(official, np.concatenate(curves), THRESHOLDS, seed=0)


@pytest.mark.real
def test_the_whole_image_has_the_published_area_on_the_984_official_boxes(official):
    masks = box_masks(official, 224, BoxRounding.truncated)
    assert len(masks) == 984
    micro, macro = micro_and_macro(prior_iou(official, masks, "whole_image"))
    assert micro == pytest.approx(0.0744, abs=5e-5)
    assert macro == pytest.approx(0.0698, abs=5e-5)


@pytest.mark.real
def test_boxes_by_pixel_centres_keep_the_area_that_truncation_loses(official):
    masks = box_masks(official, 224)
    exact = (official["w"] * official["h"] / 1024**2).mean()
    micro, macro = micro_and_macro(prior_iou(official, masks, "whole_image"))
    assert micro == pytest.approx(exact, abs=1e-4)
    assert (micro, macro) == pytest.approx((0.0755, 0.0709), abs=5e-5)


@pytest.mark.real
@pytest.mark.parametrize(("name", "expected"), [("location_prior", 0.186), ("class_prior", 0.224)])
def test_the_priors_reach_what_an_honest_table_must_show(official, name, expected):
    masks = box_masks(official, 224, BoxRounding.truncated)
    assert prior_iou(official, masks, name)["iou"].mean() == pytest.approx(expected, abs=1e-3)
