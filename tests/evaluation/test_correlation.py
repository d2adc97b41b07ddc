"""Correlation with severity against numpy and scipy, pooled and per film."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evaluation.config import BootstrapConfig
from evaluation.correlation import (
    correlation_of,
    mean_severity,
    moments,
    pcc_samples,
    pooled_correlation,
    score_group_means,
    severity_maps,
    zone_agreement,
    zone_groups,
    zone_means,
    zone_spearman,
)


@pytest.fixture(scope="module")
def scene():
    """Five films with six zones in two columns of three, background around them."""
    rng = np.random.default_rng(0)
    zones = np.zeros((5, 16, 16), dtype=np.uint8)
    for k in range(6):
        row, column = 2 + 4 * (k % 3), 2 + 7 * (k // 3)
        zones[:, row : row + 4, column : column + 5] = k + 1
    scores = rng.integers(0, 4, size=(5, 6))
    scores[:, :2] = (0, 3)  # never all the same
    maps = rng.random((5, 16, 16)).astype(np.float32)
    samples = pd.DataFrame({"sample": range(5), "patient": [0, 0, 1, 2, 3]})
    return maps, zones, scores, samples


def test_each_zone_is_painted_with_its_own_score(scene):
    _, zones, scores, _ = scene
    painted = severity_maps(zones, scores)
    assert (painted[zones == 0] == 0).all()
    for i in range(5):
        for k in range(6):
            assert (painted[i][zones[i] == k + 1] == scores[i, k]).all()
    with pytest.raises(ValueError, match=r"zones must be 0 \.\.\. 5, got 0 \.\.\. 6"):
        severity_maps(zones, scores[:, :5])


def test_the_mean_severity_of_a_film_is_that_of_the_other_patients_films(scene):
    _, _, scores, samples = scene
    painted = mean_severity(scores, samples["patient"])
    expected = [scores[2:].mean(axis=0)] * 2 + [
        np.delete(scores, i, 0).mean(axis=0) for i in (2, 3, 4)
    ]
    np.testing.assert_allclose(painted, expected)
    with pytest.raises(ValueError, match="films of other patients"):
        mean_severity(scores[:2], [0, 0])


def test_the_correlation_of_each_film_is_numpys_with_and_without_background(scene):
    maps, zones, scores, samples = scene
    frame, _ = pcc_samples(samples, maps, zones, scores)
    painted = severity_maps(zones, scores)
    for i in range(5):
        lungs = zones[i] > 0
        film = np.corrcoef(maps[i].ravel(), painted[i].ravel())[0, 1]
        inner = np.corrcoef(maps[i][lungs], painted[i][lungs])[0, 1]
        assert frame["pcc_film"][i] == pytest.approx(film, abs=1e-9)
        assert frame["pcc_lungs"][i] == pytest.approx(inner, abs=1e-9)


def test_the_pooled_correlation_is_numpys_over_the_pixels_of_all_films(scene):
    maps, zones, scores, samples = scene
    _, sums = pcc_samples(samples, maps, zones, scores)
    painted, lungs = severity_maps(zones, scores), zones > 0
    for name, keep in (("film", np.ones_like(lungs)), ("lungs", lungs)):
        value, interval = pooled_correlation(
            sums[name], samples["patient"].to_numpy(), BootstrapConfig(resamples=200), seed=0
        )
        assert value == pytest.approx(np.corrcoef(maps[keep], painted[keep])[0, 1], abs=1e-9)
        assert interval.low < value < interval.high


def test_the_severity_itself_correlates_perfectly_and_its_negative_inversely(scene):
    _, zones, scores, samples = scene
    painted = severity_maps(zones, scores)
    for sign in (1, -1):
        frame, _ = pcc_samples(samples, sign * painted, zones, scores)
        np.testing.assert_allclose(frame[["pcc_film", "pcc_lungs", "zone_spearman"]], sign)


def test_a_lung_shaped_map_correlates_on_the_film_and_is_undefined_inside(scene):
    _, zones, scores, samples = scene
    frame, _ = pcc_samples(samples, (zones > 0).astype(np.float32) * 0.1, zones, scores)
    assert (frame["pcc_film"] > 0.4).all()
    assert frame[["pcc_lungs", "zone_spearman"]].isna().all(axis=None)


def test_the_spearman_of_the_zones_is_scipys_also_with_ties(scene):
    maps, zones, scores, _ = scene
    means = zone_means(maps, zones, 6)
    assert means[2, 4] == pytest.approx(maps[2][zones[2] == 5].mean(dtype=float))
    expected = [stats.spearmanr(m, s).statistic for m, s in zip(means, scores, strict=True)]
    np.testing.assert_allclose(zone_spearman(means, scores), expected)


def test_the_pearson_of_the_zones_is_numpys(scene):
    maps, zones, scores, _ = scene
    means = zone_means(maps, zones, 6)
    expected = [np.corrcoef(m, s)[0, 1] for m, s in zip(means, scores, strict=True)]
    found = zone_agreement(means, scores, "scores")
    np.testing.assert_allclose(found["scores_pearson"], expected)
    np.testing.assert_array_equal(found["scores_spearman"], zone_spearman(means, scores))


def test_drops_are_grouped_by_the_score_of_their_zone():
    found = zone_groups(np.array([[1.0, 2, 3, 4, 0, 0]]), np.array([[1, 1, 3, 3, 0, 0]]))
    assert found["drop_score1"] == [1.5]
    assert np.isnan(found["drop_score2"]).all()
    assert found["drop_score3"] == [3.5]


def test_a_zone_without_a_pixel_and_equal_scores_are_undefined(scene):
    maps, zones, scores, _ = scene
    gone = np.where(zones == 3, 0, zones)
    means = zone_means(maps, gone, 6)
    assert np.isnan(means[:, 2]).all()
    assert np.isnan(zone_spearman(means, scores)).all()
    assert np.isnan(zone_spearman(zone_means(maps, zones, 6), np.ones_like(scores))).all()


def test_moments_add_up_over_films(scene):
    maps, zones, scores, _ = scene
    painted, inside = severity_maps(zones, scores), zones > 0
    whole = moments(maps.reshape(1, -1, 16), painted.reshape(1, -1, 16), inside.reshape(1, -1, 16))
    np.testing.assert_allclose(moments(maps, painted, inside).sum(axis=0), whole[0])
    assert correlation_of(whole).shape == (1,)


def test_zones_of_a_score_are_compared_with_all_zones_of_their_film():
    means = np.array([[1.0, 2, 3, 4, 5, 6], [2.0, 2, 2, 2, np.nan, 2], [0.0, 0, 0, 0, 0, 0]])
    scores = np.array([[0, 0, 1, 1, 3, 3], [2, 2, 2, 2, 1, 3], [0, 1, 2, 3, 0, 1]])
    groups = score_group_means(means, scores)
    np.testing.assert_allclose(groups[0], [1.5 / 3.5, 1.0, np.nan, 5.5 / 3.5])
    # The fifth zone of the second film is missing, and with it the only one of score 1.
    np.testing.assert_allclose(groups[1], [np.nan, np.nan, 1, 1])
    assert np.isnan(groups[2]).all()


def test_films_measured_in_parts_give_the_bytes_of_all_together(scene):
    maps, zones, scores, samples = scene
    frame, sums = pcc_samples(samples, maps, zones, scores)
    parts = [
        pcc_samples(samples.iloc[rows], maps[rows], zones[rows], scores[rows])
        for rows in (slice(0, 2), slice(2, 3), slice(3, None))
    ]
    pd.testing.assert_frame_equal(pd.concat([part for part, _ in parts]), frame, check_exact=True)
    for place, values in sums.items():
        np.testing.assert_array_equal(np.concatenate([part[place] for _, part in parts]), values)
