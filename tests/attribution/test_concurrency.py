"""A batch explained in parts by threads: every image once, in order, to the same bytes."""

from concurrent.futures import CancelledError
from threading import Barrier, get_ident

import pytest
import torch

from attribution.base import SCORES
from attribution.concurrency import num_concurrent, side_by_side, torch_threads
from attribution.config import IBAConfig, IntegratedGradientsConfig, Score
from attribution.iba import IBA
from attribution.integrated_gradients import IntegratedGradients


@pytest.fixture
def threads():
    """4, and those of the caller afterwards."""
    with torch_threads(4):
        yield 4


class Concurrent(torch.nn.Module):
    concurrent = True


def test_a_batch_is_cut_into_no_more_parts_than_threads_or_images(threads):
    cpu = torch.device("cpu")
    assert [num_concurrent(Concurrent(), cpu, count) for count in (1, 3, 9)] == [1, 3, 4]


def test_a_model_that_does_not_say_it_can_is_called_by_one_thread(threads):
    assert num_concurrent(torch.nn.Module(), torch.device("cpu"), 9) == 1
    assert num_concurrent(Concurrent(), torch.device("cuda"), 9) == 1


@pytest.mark.parametrize(("count", "parts"), [(4, 4), (7, 3), (9, 2)])
def test_every_image_is_explained_once_in_order_and_the_parts_run_together(threads, count, parts):
    together = Barrier(parts)

    def explain(rows, check):
        together.wait(60)  # breaks unless all parts have begun
        check()
        return list(range(count))[rows], get_ident(), torch.get_num_threads()

    found = side_by_side(explain, count, parts)
    assert [image for rows, _, _ in found for image in rows] == list(range(count))
    assert len({thread for _, thread, _ in found}) == parts
    assert {each for _, _, each in found} == {threads // parts}
    assert torch.get_num_threads() == threads


def test_a_part_that_fails_ends_the_others_and_its_error_is_the_callers(threads):
    together, ends = Barrier(2), []

    def explain(rows, check):
        together.wait(60)
        if rows.start == 0:
            raise ValueError("a broken image")
        try:
            while True:
                check()
        except CancelledError:
            ends.append(rows)
            raise

    with pytest.raises(ValueError, match="a broken image"):
        side_by_side(explain, 2, 2)
    assert ends == [slice(1, 2)]
    assert torch.get_num_threads() == threads


def test_images_explained_side_by_side_get_the_bytes_that_each_gets_alone(
    classifier, images, statistics_of, threads, monkeypatch
):
    monkeypatch.setattr(classifier, "concurrent", True, raising=False)
    method = IBA(IBAConfig(tap="block2", steps=3), statistics_of(classifier)["block2"])
    features = classifier.forward_to("block2", images).detach()
    outputs, targets = classifier(images).detach(), torch.tensor([0, 1, 2, 1])

    def fit(rows):
        return method.fit_features(
            classifier,
            features[rows],
            outputs[rows],
            targets[rows],
            score=SCORES[Score.logit],
            seeds=range(4)[rows],
        )

    together = fit(slice(0, 4))
    torch.set_num_threads(1)
    for row in range(4):
        alone = fit(slice(row, row + 1))
        assert torch.equal(alone.capacity[0], together.capacity[row])
        for name, values in alone.diagnostics.items():
            assert values[0] == together.diagnostics[name][row]


def test_paths_walked_side_by_side_get_the_bytes_that_each_gets_alone(
    classifier, images, threads, monkeypatch
):
    monkeypatch.setattr(classifier, "concurrent", True, raising=False)
    method = IntegratedGradients(IntegratedGradientsConfig(steps=5))
    targets = torch.tensor([0, 1, 2, 1])

    def explain(rows):
        seeds = range(4)[rows]
        return method(
            classifier, images[rows], targets[rows], score=SCORES[Score.logit], seeds=seeds
        ).maps

    together = explain(slice(0, 4))
    torch.set_num_threads(1)
    for row in range(4):
        assert torch.equal(explain(slice(row, row + 1))[0], together[row])
