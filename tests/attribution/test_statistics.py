"""Statistics of feature maps against NumPy, and their file."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from attribution.config import StatisticsConfig
from attribution.statistics import FeatureStatistics, estimate_statistics, statistics_at_taps
from models.densenet import DenseNet121
from models.frozen_densenet import FrozenDenseNet


class Tap(torch.nn.Module):
    """The feature map is the image; a parameter and a dropout show whether the model is frozen."""

    def __init__(self):
        super().__init__()
        self.dropout = torch.nn.Dropout()

    def forward_to_all(self, taps, images):
        return {tap: self.dropout(images) for tap in taps}


def estimate(batches, **settings):
    return estimate_statistics(Tap(), "block3", batches, StatisticsConfig(**settings))


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    values = generator.normal(1000, 0.01, (23, 3, 5, 4)).astype(np.float32)
    values[generator.random(values.shape) < 0.4] = 0
    values[:, 2] = generator.normal(1000, 0.01, (23, 5, 4))  # a mean far above the deviation
    return torch.from_numpy(values)


@pytest.mark.parametrize("sizes", [[23], [1] * 23, [2, 13, 8]])
def test_equals_numpy_for_any_cut_into_batches(images, sizes):
    found = estimate(images.split(sizes))
    values = images.numpy().astype(np.float64)
    assert found.num_images == 23
    np.testing.assert_allclose(found.mean, values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.std, values.std(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(found.active, (values != 0).mean(0), rtol=1e-6)
    assert found.mean.dtype == found.std.dtype == found.active.dtype == torch.float32


def test_stops_at_the_number_of_images_asked_for_within_a_batch(images):
    seen = []
    found = statistics_at_taps(
        Tap(),
        ("block3",),
        images.split(4),
        StatisticsConfig(num_images=10),
        progress=lambda done, total: seen.append((done, total)),
    )["block3"]
    assert found.num_images == 10
    np.testing.assert_allclose(found.mean, images[:10].double().mean(0), rtol=1e-6)
    assert seen == [(4, 10), (8, 10), (10, 10)]


def test_one_pass_gives_every_tap_the_statistics_that_it_gets_alone_bit_by_bit():
    class Counted(FrozenDenseNet):
        passes = 0

        def forward_to_all(self, taps, images):
            self.passes += 1
            return super().forward_to_all(taps, images)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Counted(DenseNet121(2).eval())
        batches = torch.randn(5, 3, 64, 64).split(2)
    taps = ("block1", "block2", "block3")
    together = statistics_at_taps(model, taps, batches, StatisticsConfig())
    assert model.passes == len(batches)
    for tap in taps:
        alone = estimate_statistics(model, tap, batches, StatisticsConfig())
        for name in ("mean", "std", "active"):
            assert torch.equal(getattr(together[tap], name), getattr(alone, name))


def test_one_image_has_no_deviation(images):
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        estimate([images[:1]])
    with pytest.raises(ValueError, match="got 0"):
        estimate([])


def test_a_file_brings_everything_back_and_has_the_same_bytes_each_time(images, tmp_path):
    found = estimate([images])
    contents = set()
    for name in ("a", "b", "c"):
        found.save(tmp_path / name)
        contents.add((tmp_path / name).read_bytes())
    back = FeatureStatistics.load(tmp_path / "a")
    assert (back.tap, back.num_images) == ("block3", 23)
    for name in ("mean", "std", "active"):
        assert torch.equal(getattr(back, name), getattr(found, name))
    assert len(contents) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("about", "changes", "reason"),
    [
        ("{", {}, "Expecting property name"),
        ("[" * 5000, {}, "recursion"),
        ('{"tap": "block3"}', {}, "num_images"),
        ("[]", {}, "indices"),
        ('{"tap": "block3", "num_images": 4}', {"std": torch.ones(3, 2, 2)}, "of one shape"),
        (
            '{"tap": "block3", "num_images": 4}',
            {"mean": torch.full((2, 2, 2), torch.nan)},
            "finite",
        ),
    ],
)
def test_statistics_that_do_not_fit_together_are_refused(tmp_path, about, changes, reason):
    tensors = {name: torch.ones(2, 2, 2) for name in ("mean", "std", "active")} | changes
    path = tmp_path / "odd.safetensors"
    save_file(tensors, path, metadata={"feature_statistics": about})
    with pytest.raises(ValueError, match=rf"odd\.safetensors: not a file of .*{reason}"):
        FeatureStatistics.load(path)


def test_a_file_of_something_else_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors"):
        FeatureStatistics.load(tmp_path / "absent.safetensors")
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(ValueError, match="text: not a file of feature statistics"):
        FeatureStatistics.load(tmp_path / "text")
