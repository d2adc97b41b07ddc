"""Where a model runs."""

import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def resolve_device(name: str) -> torch.device:
    """The torch device of ``name`` (one of DEVICES); ``auto`` takes the first of cuda, mps, cpu.

    Raises ValueError for another name, or for an accelerator that this machine does not offer.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, present in available.items() if present))
    if name not in available:
        raise ValueError(f"unknown device {name!r}: choose one of {', '.join(DEVICES)}")
    if not available[name]:
        present = ", ".join(kind for kind, there in available.items() if there)
        raise ValueError(
            f"device {name!r} was asked for, but torch {torch.__version__} finds none here "
            f"(present: {present}): set device=auto or device=cpu, or install a driver that matches"
        )
    return torch.device(name)
