"""AUC and AP against scikit-learn, on the whole sample and on every resample."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from evaluation.bootstrap import patient_counts
from evaluation.classification import BOXED, classification_table, ranking_metrics
from evaluation.config import BootstrapConfig

CLASSES = [*BOXED, "Consolidation", "Hernia"]
CONFIG = BootstrapConfig(resamples=200)


def films(seed=0, num_films=300, num_patients=90):
    rng = np.random.default_rng(seed)
    labels = (rng.random((num_films, len(CLASSES))) < 0.15).astype(np.uint8)
    logits = rng.normal(size=labels.shape) + labels
    return labels, logits.astype(np.float32), rng.integers(num_patients, size=num_films)


def table(labels, logits, patients, classes=CLASSES, model="bce"):
    return classification_table("nih", model, classes, labels, logits, patients, CONFIG, seed=0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), ties=st.booleans(), num_films=st.integers(4, 60))
def test_auc_and_ap_of_weighted_films_equal_scikit_learn(seed, ties, num_films):
    rng = np.random.default_rng(seed)
    scores = rng.integers(4, size=num_films) if ties else rng.normal(size=num_films)
    positive = rng.random(num_films) < 0.3
    positive[:2] = True, False
    patients = rng.integers(8, size=num_films)
    counts = np.vstack([np.ones(8), patient_counts(8, 3, seed=seed % 1000)])
    auc, ap = ranking_metrics(scores.astype(float), positive, patients, counts)
    for count, got_auc, got_ap in zip(counts, auc, ap, strict=True):
        rows = np.repeat(np.arange(num_films), count[patients].astype(int))
        if len(np.unique(positive[rows])) < 2:
            assert np.isnan(got_auc)
            assert np.isnan(got_ap)
            continue
        assert got_auc == pytest.approx(roc_auc_score(positive[rows], scores[rows]))
        assert got_ap == pytest.approx(average_precision_score(positive[rows], scores[rows]))


def test_rows_agree_with_scikit_learn_and_the_means_with_their_rows():
    labels, logits, patients = films()
    rows = table(labels, logits, patients).set_index("class")
    assert list(rows.index) == [*CLASSES, "mean", "mean8"]
    for k, name in enumerate(CLASSES):
        assert rows.loc[name, "auc"] == pytest.approx(roc_auc_score(labels[:, k], logits[:, k]))
        expected = average_precision_score(labels[:, k], logits[:, k])
        assert rows.loc[name, "ap"] == pytest.approx(expected)
        assert rows.loc[name, "n_positive"] == labels[:, k].sum()
    for metric in ("auc", "ap"):
        assert rows.loc["mean", metric] == pytest.approx(rows[metric][:10].mean())
        assert rows.loc["mean8", metric] == pytest.approx(rows[metric][:8].mean())
        assert (rows[f"{metric}_ci_low"] < rows[metric]).all()
        assert (rows[metric] < rows[f"{metric}_ci_high"]).all()
    assert set(rows["n"]) == {300}
    assert set(rows["n_patients"]) == {len(np.unique(patients))}


def test_a_class_without_positives_or_negatives_is_undefined_and_left_out_of_the_mean():
    labels, logits, patients = films()
    labels[:, 1], labels[:, 9] = 0, 1
    rows = table(labels, logits, patients).set_index("class")
    numbers = ["auc", "auc_ci_low", "auc_ci_high", "ap", "ap_ci_low", "ap_ci_high"]
    assert rows.loc[["Cardiomegaly", "Hernia"], numbers].isna().all(axis=None)
    assert list(rows.loc[["Cardiomegaly", "Hernia"], "n_positive"]) == [0, 300]
    defined = [name for name in CLASSES if name not in ("Cardiomegaly", "Hernia")]
    assert rows.loc["mean", "auc"] == pytest.approx(rows.loc[defined, "auc"].mean())
    assert (rows.loc["mean", "n_classes"], rows.loc["mean8", "n_classes"]) == (8, 7)
    assert rows.loc["mean", numbers].notna().all()


def test_a_class_whose_positives_come_from_one_patient_has_a_value_but_no_interval():
    labels, logits, patients = films()
    labels[:, 0] = patients == patients[0]
    row = table(labels, logits, patients).set_index("class").loc["Atelectasis"]
    assert 0 <= row["auc"] <= 1
    assert np.isnan(
        row[["auc_ci_low", "auc_ci_high", "ap_ci_low", "ap_ci_high"]].astype(float)
    ).all()


def test_the_intervals_are_over_patients_and_not_over_films():
    labels, logits, _ = films(num_films=60)
    repeated = np.tile(np.arange(60), 6)
    narrow = table(labels[repeated], logits[repeated], np.arange(360)).set_index("class")
    honest = table(labels[repeated], logits[repeated], repeated).set_index("class")
    width = [
        frame.loc["mean", "auc_ci_high"] - frame.loc["mean", "auc_ci_low"]
        for frame in (narrow, honest)
    ]
    assert width[1] > 1.8 * width[0]


def test_the_table_does_not_depend_on_the_order_of_the_films():
    labels, logits, patients = films()
    shuffle = np.random.default_rng(5).permutation(300)
    plain = table(labels, logits, patients)
    shuffled = table(labels[shuffle], logits[shuffle], patients[shuffle])
    numbers = plain.select_dtypes("number").columns
    np.testing.assert_allclose(plain[numbers], shuffled[numbers], rtol=1e-12)


def test_nothing_known_gives_an_auc_of_a_half_and_an_ap_of_the_prevalence():
    labels, _, patients = films()
    rows = table(labels, np.zeros(labels.shape), patients).set_index("class")
    np.testing.assert_allclose(rows["auc"], 0.5)
    np.testing.assert_allclose(rows["ap"][:10], labels.mean(axis=0))


def test_published_values_stand_beside_the_models_they_belong_to():
    bce = table(*films()).set_index("class")
    assert bce.loc["mean", ["paper_auc", "paper_ap"]].tolist() == [0.790, 0.243]
    assert bce.loc["Hernia", ["paper_auc", "paper_ap"]].tolist() == [0.8543, 0.0739]
    weighted = table(*films(), model="weighted_bce").set_index("class")
    assert weighted.loc["mean", ["paper_auc", "paper_ap"]].tolist() == [0.788, 0.236]
    assert weighted.loc[CLASSES, ["paper_auc", "paper_ap"]].isna().all(axis=None)


def test_classes_without_boxes_have_no_mean_over_the_boxed_ones():
    labels, logits, patients = films()
    detectors = ["Detector01", "Detector2"]
    rows = table(labels[:, :2], logits[:, :2], patients, detectors, model="detectors")
    assert list(rows["class"]) == [*detectors, "mean"]
    assert rows[["paper_auc", "paper_ap"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("labels", 2, "labels of Effusion"), ("logits", np.nan, "scores of Effusion")],
)
def test_wrong_labels_and_scores_are_refused_by_class(field, value, message):
    labels, logits, patients = films()
    {"labels": labels, "logits": logits}[field][7, 2] = value
    with pytest.raises(ValueError, match=message):
        table(labels, logits, patients)


def test_shapes_that_do_not_fit_and_no_films_are_refused():
    labels, logits, patients = films()
    for wrong in ((labels[:-1], logits, patients), (labels, logits[:, :3], patients)):
        with pytest.raises(ValueError, match="a row for each"):
            table(*wrong)
    with pytest.raises(ValueError, match="one at least"):
        table(labels[:0], logits[:0], patients[:0])


def test_resamples_cost_less_than_a_fifth_of_a_loop_over_scikit_learn():
    rng = np.random.default_rng(0)
    scores, positive = rng.normal(size=2000), rng.random(2000) < 0.1
    patients = rng.integers(700, size=2000)
    counts = patient_counts(700, 2000, seed=0)
    start = time.process_time()
    ranking_metrics(scores, positive, patients, counts)
    ours = (time.process_time() - start) / 2000
    start = time.process_time()
    for count in counts[:5]:
        weights = count[patients]
        roc_auc_score(positive, scores, sample_weight=weights)
        average_precision_score(positive, scores, sample_weight=weights)
    assert ours < (time.process_time() - start) / 5 / 5
