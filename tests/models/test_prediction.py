"""Predictions are the model's logits, in order."""

import numpy as np
import pytest
import torch

from models.checkpoints import initial_model
from models.densenet import normalise
from models.prediction import predict

CPU = torch.device("cpu")


def films(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(256, (count, 32, 32), dtype=torch.uint8, generator=generator)


def test_predictions_are_the_models_logits_in_order():
    model = initial_model("random", 4, seed=0)
    batches = films(7).split(3)
    with torch.no_grad():
        expected = torch.cat([model.eval()(normalise(batch)) for batch in batches]).numpy()
    logits = predict(model, batches, CPU)
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, expected)


def test_a_model_in_training_is_left_as_it_was():
    model = initial_model("random", 4, seed=0).train()
    model.features.norm0.eval()
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    predict(model, [films(4)], CPU)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_no_films_are_refused():
    with pytest.raises(ValueError, match="no films"):
        predict(initial_model("random", 4, seed=0), [], CPU)
