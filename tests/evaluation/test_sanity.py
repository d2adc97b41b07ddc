"""Sanity checks on toy networks, similarities against published libraries."""

import numpy as np
import pytest
import torch
from captum.metrics import sensitivity_max
from scipy import stats
from torch import nn

from evaluation.config import SanityConfig
from evaluation.sanity import (
    cascading_randomisation,
    input_independence,
    noise_sensitivity,
    randomised,
    spearman,
    ssim,
)
from models.densenet import DenseNet121

IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 1, 0])


def toy() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    ).eval()


def gradient(model, images, targets):
    images = images.clone().requires_grad_()
    model(images).gather(1, targets[:, None]).sum().backward()
    return images.grad.abs().amax(1).numpy()


def edges(model, images, targets):
    """What an explanation must not be: a filter of the film."""
    return images.diff(dim=2, prepend=images[:, :, :1]).abs().mean(1).numpy()


CASCADE = SanityConfig(layers=["7", "3", "0"])


def test_a_gradient_changes_with_the_weights_and_a_filter_of_the_film_does_not():
    model = toy()
    true = cascading_randomisation(model, gradient, IMAGES, TARGETS, CASCADE)
    assert list(true) == ["row", "layer", "ssim", "spearman"]
    assert list(true["layer"]) == [layer for layer in "730" for _ in range(3)]
    assert (true.loc[true["layer"] == "0", "spearman"] < 0.5).all()
    false = cascading_randomisation(model, edges, IMAGES, TARGETS, CASCADE)
    np.testing.assert_allclose(false[["ssim", "spearman"]], 1)


def test_randomisation_goes_from_the_output_to_the_named_layer_and_leaves_the_model_alone():
    model = toy()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    changed = []
    for _, copy in randomised(model, ["7", "1", "0"], seed=1):
        state = copy.state_dict()
        changed.append({n.split(".")[0] for n in state if not torch.equal(state[n], before[n])})
    # The BatchNorm, never trained, is reset to what it was.
    assert changed == [{"7"}, {"7", "3"}, {"7", "3", "0"}]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_cascade_repeats_with_its_seed_and_leaves_the_global_one_alone():
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    runs = [cascading_randomisation(toy(), gradient, IMAGES, TARGETS, CASCADE) for _ in range(2)]
    assert runs[0].equals(runs[1])
    torch.manual_seed(4)
    list(randomised(toy(), ["7"], seed=9))
    torch.manual_seed(4)
    assert torch.equal(torch.rand(1), expected)


def test_every_default_layer_is_one_of_the_densenet_whose_convolutions_have_no_bias():
    model = DenseNet121(2).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config = SanityConfig()
    for _, copy in randomised(model, config.layers, seed=0):  # noqa: B007
        pass
    weights = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert all(
        not torch.equal(copy.state_dict()[f"{n}.weight"], before[f"{n}.weight"]) for n in weights
    )
    with torch.no_grad():
        assert copy(torch.randn(1, 3, 32, 32)).isfinite().all()


@pytest.mark.parametrize("layers", [["9"], ["2"], ["0", "3"], ["7", "7"]])
def test_layers_that_are_absent_weightless_or_out_of_order_are_refused(layers):
    with pytest.raises(ValueError, match=r"evaluation\.sanity\.layers"):
        list(randomised(toy(), layers, seed=0))


def test_the_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.integers(6, size=(4, 9, 9)), rng.random((4, 9, 9))
    expected = [stats.spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected)
    assert np.isnan(spearman(np.ones((1, 3, 3)), b[:1, :3, :3])).all()


def plain_ssim(a, b, window):
    """Equation 13 of Wang et al. 2004, window by window, on maps in [0, 1]."""
    a, b = ((m - m.min()) / np.ptp(m) for m in (a, b))
    values = []
    for i in range(a.shape[0] - window + 1):
        for j in range(a.shape[1] - window + 1):
            x, y = (m[i : i + window, j : j + window].ravel() for m in (a, b))
            (vx, cov), (_, vy) = np.cov(x, y)
            light = (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)
            values.append(light * (2 * cov + 9e-4) / (vx + vy + 9e-4))
    return np.mean(values)


@pytest.mark.parametrize("window", [3, 5, 6])
def test_the_structural_similarity_is_its_definition_window_by_window(window):
    a, b = np.random.default_rng(0).random((2, 2, 11, 13))
    expected = [plain_ssim(x, y, window) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ssim(5 * a - 3, b, window), expected)
    np.testing.assert_allclose(ssim(a, 2 * a + 1, window), 1)
    assert np.isnan(ssim(np.ones_like(a), b, window)).all()
    with pytest.raises(ValueError, match="ssim_window 12 is wider"):
        ssim(a, b, 12)


def test_a_method_that_ignores_the_film_is_wholly_input_independent():
    rng = np.random.default_rng(0)
    same = np.repeat(rng.random((1, 12, 12)), 5, axis=0)
    targets, patients = [0, 0, 0, 1, 1], [1, 2, 2, 3, 3]
    values = input_independence(same.__getitem__, targets, patients)
    np.testing.assert_allclose(values[:3], 1)
    assert np.isnan(values[3:]).all()  # no other patient has that target
    films = rng.random((40, 12, 12))
    noise = input_independence(films.__getitem__, np.zeros(40), np.arange(40))
    assert abs(noise.mean()) < 0.02
    pair = rng.random((2, 12, 12))
    np.testing.assert_allclose(
        input_independence(pair.__getitem__, [0, 0], [1, 2])[0], spearman(*pair[:, None])
    )


def test_input_independence_is_the_mean_over_all_pairs_and_holds_one_patients_maps():
    rng = np.random.default_rng(1)
    maps = rng.random((30, 6, 6)).round(1)  # with ties
    maps[[4, 17]] = 0.5  # constant: no correlation
    targets, patients = rng.integers(0, 3, 30), rng.integers(0, 7, 30)
    asked = []

    def maps_of(rows):
        asked.append(rows)
        return maps[rows]

    values = input_independence(maps_of, targets, patients)
    assert np.isnan(values[[4, 17]]).all()
    for row in set(range(30)) - {4, 17}:
        others = (targets == targets[row]) & (patients != patients[row])
        others[[4, 17]] = False
        pairs = [stats.spearmanr(maps[row].ravel(), other.ravel())[0] for other in maps[others]]
        np.testing.assert_allclose(values[row], np.mean(pairs), atol=1e-12)
    assert all(len(set(patients[rows])) == len(set(targets[rows])) == 1 for rows in asked)


def test_the_largest_change_under_noise_is_captums_on_the_same_noise():
    seen = []

    def explain(model, images, targets):
        seen.append(images)
        return images.mul(images).mean(1).numpy()

    frame = noise_sensitivity(
        toy(), explain, IMAGES, TARGETS, [1, 2, 3], SanityConfig(noise_draws=4)
    )
    noisy = torch.stack(seen[1:], dim=1).flatten(0, 1)
    theirs = sensitivity_max(
        lambda x: (x[0].mul(x[0]).mean(1),),
        IMAGES,
        perturb_func=lambda x: (noisy,),
        n_perturb_samples=4,
    )
    np.testing.assert_allclose(frame["noise_max"], theirs.numpy(), rtol=1e-5)
    assert (frame["noise_mean"] < frame["noise_max"]).all()


def test_a_films_noise_depends_on_its_own_seed_alone():
    def explain(model, images, targets):
        return images.mean(1).numpy()

    config = SanityConfig(noise_draws=3)
    together = noise_sensitivity(toy(), explain, IMAGES, TARGETS, [5, 6, 7], config)
    alone = noise_sensitivity(toy(), explain, IMAGES[1:2], TARGETS[1:2], [6], config)
    assert alone.iloc[0].tolist() == pytest.approx(together.iloc[1].tolist())
    # Noise of 0.05 a channel is 0.05 / sqrt(3) of the mean over three.
    expected = 0.05 / np.sqrt(3) * 16 / np.linalg.norm(IMAGES.mean(1).numpy(), axis=(1, 2))
    np.testing.assert_allclose(together["noise_mean"], expected, rtol=0.1)


def test_a_cascade_over_no_layers_is_refused():
    with pytest.raises(ValueError, match=r"evaluation\.sanity\.layers is empty"):
        cascading_randomisation(toy(), gradient, IMAGES, TARGETS, SanityConfig(layers=[]))
