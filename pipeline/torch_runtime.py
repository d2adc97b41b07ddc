"""How torch runs in this process, set once before a stage that computes with it."""

import torch

from models.device import resolve_device
from pipeline.config import PipelineConfig


def start_torch(config: PipelineConfig) -> torch.device:
    """Sets the thread count that the keys hold and returns the device to compute on."""
    torch.set_num_threads(config.threads)
    return resolve_device(config.executor.device)
