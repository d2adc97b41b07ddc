"""Equal-area removal: the change of a weighted sum is what was removed."""

import numpy as np
import pandas as pd
import pytest
import torch

from evaluation.config import Baseline, EqualAreaConfig
from evaluation.equal_area import equal_area_changes, equal_area_samples

TARGETS = torch.zeros(2, dtype=torch.int64)


def test_the_change_of_a_weighted_sum_is_the_sum_of_the_removed_contributions():
    weights = torch.randn(10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    images = torch.rand(2, 3, 10, 10, dtype=torch.float64)
    contributions = (images * weights).sum(1)
    config = EqualAreaConfig(fractions=[0.05, 0.5, 1.0], baseline=Baseline.zero, batch_size=3)

    def score(x, t):
        return (x * weights).sum((1, 2, 3))

    film = score(images, TARGETS).numpy()
    changes = equal_area_changes(score, images, TARGETS, film, contributions, config)
    ranked = -np.sort(-contributions.flatten(1).numpy(), axis=1)
    expected = [[r[:5].sum(), r[:50].sum(), r.sum()] for r in ranked]
    np.testing.assert_allclose(changes, expected, atol=1e-12)


def test_maps_of_any_scale_remove_the_same_number_of_pixels():
    images, film, removed = torch.ones(2, 3, 10, 10), np.full(2, 300.0), []

    def score(x, t):
        removed.append((x == 0).all(1).sum((1, 2)))
        return x.sum((1, 2, 3))

    config = EqualAreaConfig(fractions=[0.2], baseline=Baseline.zero)
    for maps in (torch.rand(2, 10, 10), torch.zeros(2, 10, 10), 1e6 * torch.rand(2, 10, 10)):
        equal_area_changes(score, images, TARGETS, film, maps, config)
    assert torch.cat(removed).tolist() == [20, 20] * 3  # the film itself is not scored again


def test_a_fraction_that_removes_nothing_is_refused_by_its_key():
    with pytest.raises(ValueError, match=r"evaluation\.equal_area\.fractions"):
        equal_area_changes(
            lambda x, t: x.sum((1, 2, 3)),
            torch.ones(2, 3, 4, 4),
            TARGETS,
            np.full(2, 48.0),
            torch.ones(2, 4, 4),
            EqualAreaConfig(fractions=[0.0]),
        )


def test_per_sample_rows_name_the_fraction():
    samples = pd.DataFrame({"sample": [0, 1], "patient": [7, 8]})
    frame = equal_area_samples(
        samples, np.array([[1.0, 2.0], [3.0, 4.0]]), EqualAreaConfig(fractions=[0.1, 0.2])
    )
    assert list(frame) == ["sample", "patient", "metric", "value"]
    assert frame.query("sample == 1 and metric == 'change_0.2'")["value"].tolist() == [4.0]
