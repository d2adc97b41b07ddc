"""Which device is taken, and an error where it is absent."""

import pytest
import torch

from models.device import resolve_device


def present(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_fastest_that_is_there(monkeypatch, cuda, mps, expected):
    present(monkeypatch, cuda=cuda, mps=mps)
    assert resolve_device("auto") == torch.device(expected)
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_an_absent_accelerator_is_an_error_that_says_what_to_do(monkeypatch, name):
    present(monkeypatch, cuda=False, mps=False)
    with pytest.raises(ValueError, match=f"'{name}' was asked for.*device=cpu"):
        resolve_device(name)


def test_an_unknown_device_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="'gpu': choose one of auto, cpu, cuda, mps"):
        resolve_device("gpu")
