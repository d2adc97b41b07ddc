"""How a film is exposed: attenuation, window, noise and scatter in closed form."""

import numpy as np

from data.phantom import projection


def test_a_slab_attenuates_by_exp_of_minus_mu_times_thickness() -> None:
    thickness = np.array([[0.0, 10.0, 20.0, 100.0]], np.float32)
    through = projection.primary(np.float32(projection.WATER) * thickness)
    np.testing.assert_allclose(through, np.exp(-0.0195 * thickness), rtol=1e-6)
    np.testing.assert_allclose(through[0, 2], through[0, 1] ** 2, rtol=1e-5)


def test_layers_multiply_their_transmissions() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.uniform(0, 3, (2, 8, 8)).astype(np.float32)
    both = projection.primary(one + two)
    np.testing.assert_allclose(both, projection.primary(one) * projection.primary(two), rtol=1e-5)


def test_the_window_is_fixed_so_that_more_exposure_makes_a_film_darker() -> None:
    light = np.exp(-np.random.default_rng(0).uniform(1, 4, (16, 16))).astype(np.float32)
    once, twice = projection.window(light).astype(int), projection.window(2 * light).astype(int)
    assert (twice < once).all()
    # A constant factor is a constant shift of the logit of grey: no stretching to the film's range.
    logit = np.log(once / (255 - once)) - np.log(twice / (255 - twice))
    middle = (once > 40) & (twice < 215) & (twice > 40)
    np.testing.assert_allclose(logit[middle], np.log(2) / projection.WINDOW_WIDTH, atol=0.06)


def test_a_uniform_film_stays_uniform_and_does_not_become_mid_grey() -> None:
    dim, bright = (projection.window(np.full((4, 4), s, np.float32)) for s in (0.01, 0.5))
    assert np.ptp(dim) == 0
    assert dim[0, 0] > 200
    assert bright[0, 0] < 20


def test_noise_has_the_mean_and_variance_of_counted_quanta() -> None:
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((400, 400)).astype(np.float32)
    for light in (1.0, 0.1, 0.02):
        counts = 5000 * projection.detect(np.full((400, 400), light, np.float32), 5000, noise)
        assert abs(counts.mean() / (5000 * light) - 1) < 0.01
        assert abs(counts.var() / counts.mean() - 1) < 0.03


def test_the_detector_spreads_light_by_one_pixel_at_most() -> None:
    light = np.zeros((9, 9), np.float32)
    light[4, 4] = 1
    seen = projection.detect(light, 1e8, np.zeros((9, 9), np.float32)) > 1e-6
    assert seen[3:6, 3:6].all()
    assert seen.sum() == 9


def test_scatter_is_a_faint_copy_of_the_light_around() -> None:
    flat = np.full((64, 64), 0.3, np.float32)
    np.testing.assert_allclose(projection.scatter(flat, 0.1), 0.03, rtol=1e-4)
