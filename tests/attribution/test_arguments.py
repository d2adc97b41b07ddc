"""The border of ``explain``: what it takes, and what it says of the rest."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from attribution import explain
from attribution.config import IBAConfig, Score
from attribution.tapped import outputs_of

SETTINGS = IBAConfig(steps=2, noise_samples=2)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """``wrap`` is what it makes of its outputs."""

    def __init__(self, num_outputs=3, wrap=lambda outputs: outputs):
        super().__init__()
        torch.manual_seed(0)
        self.early = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Tanh())
        self.head, self.wrap = nn.Linear(4, num_outputs), wrap

    def forward(self, images):
        return self.wrap(self.head(self.early(images).mean((2, 3))))


IMAGES, REFERENCE = normal(2, 3, 16, 16), normal(6, 3, 16, 16, seed=1)


def maps(model=None, images=IMAGES, targets=(0, 2), reference=(REFERENCE,), **arguments):
    arguments = {"layer": "early", "settings": SETTINGS} | arguments
    model = Net() if model is None else model
    return explain(model, images, targets, reference=reference, **arguments).maps


def gradients(model=None, images=IMAGES, targets=(0, 2), **arguments):
    model = Net() if model is None else model
    return explain(model, images, targets, method="gradient", **arguments).maps


LABELS = torch.arange(6)


@pytest.mark.parametrize(
    "reference",
    [
        DataLoader(TensorDataset(REFERENCE, LABELS), batch_size=4),
        DataLoader(TensorDataset(REFERENCE), batch_size=6),
        TensorDataset(REFERENCE, LABELS),
        REFERENCE,
        REFERENCE.double().numpy(),
        [{"pixel_values": REFERENCE, "labels": LABELS}],
        [{"image": REFERENCE[:3]}, {"image": REFERENCE[3:]}],
        [{"x": REFERENCE, "y": LABELS}],
        (batch for batch in REFERENCE.split(2)),
    ],
    ids=[
        *("loader of pairs", "loader of images", "data set", "one tensor", "one array"),
        *("dict of pixel_values", "dicts of image", "dict of x", "generator"),
    ],
)
def test_a_reference_in_any_common_form_gives_the_same_map(reference):
    torch.testing.assert_close(maps(reference=reference), maps(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "targets"),
    [
        (IMAGES.numpy(), [0, 2]),
        (IMAGES.double().numpy(), np.array([0, 2])),
        (IMAGES.flip(3).numpy()[..., ::-1], np.array([0, 2], dtype=np.uint8)),
        (IMAGES, torch.tensor([0, 2], dtype=torch.int32)),
        (list(IMAGES), (np.int64(0), torch.tensor(2))),
        (IMAGES.clone().requires_grad_(), [0, 2]),
    ],
)
def test_images_and_targets_in_any_common_form_give_the_same_map(images, targets):
    assert torch.equal(gradients(images=images, targets=targets), gradients())


def test_one_image_is_a_batch_of_one_and_one_target_is_that_of_all():
    torch.testing.assert_close(gradients(images=IMAGES[1], targets=2), gradients()[1:])
    assert torch.equal(gradients(targets=1), gradients(targets=[1, 1]))
    assert torch.equal(gradients(targets=torch.tensor(1)), gradients(targets=[1, 1]))


def test_a_score_is_known_by_its_name():
    assert torch.equal(gradients(score="sigmoid"), gradients(score=Score.sigmoid))
    with pytest.raises(ValueError, match="score: 'logits' is none of logit, sigmoid, output"):
        gradients(score="logits")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda outputs: (outputs,),
        lambda outputs: (outputs, [outputs]),
        lambda outputs: {"logits": outputs, "loss": outputs.sum()},
        lambda outputs: {"out": outputs},
        lambda outputs: SimpleNamespace(logits=outputs),
    ],
)
def test_outputs_are_found_in_what_a_model_returns(wrap):
    assert torch.equal(maps(Net(wrap=wrap)), maps())
    assert torch.equal(gradients(Net(wrap=wrap)), gradients())


@pytest.mark.parametrize("wrap", [lambda outputs: outputs[:, 0], torch.squeeze])
def test_a_model_of_one_output_may_leave_its_axis_out(wrap):
    expected = maps(Net(1), targets=0)
    assert torch.equal(maps(Net(1, wrap), targets=0), expected)
    one = maps(Net(1, wrap), IMAGES[:1], 0)
    torch.testing.assert_close(one, expected[:1], rtol=1e-4, atol=1e-7)
    regressor = gradients(Net(1, wrap), targets=[0.5, 1.5], score="squared_deviation")
    assert regressor.max() > 0


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda outputs: {"a": outputs, "b": outputs}, "returns a dict of a, b"),
        (lambda outputs: (outputs, outputs), "returns a tuple"),
        (lambda outputs: None, "returns a NoneType"),
        (lambda outputs: outputs.argmax(1), r"returns torch.int64 \(1, 1\) for 1 image"),
        (lambda outputs: outputs[:, :, None, None], r"\(1, 3, 1, 1\) for 1 image.*\(N, C\)"),
        (torch.detach, r"no gradient in the layer 'early'.*detached or runs under torch.no_grad"),
    ],
)
def test_outputs_that_cannot_be_explained_are_refused(wrap, said):
    with pytest.raises(ValueError, match=said):
        maps(Net(wrap=wrap))


def test_rows_are_told_from_outputs():
    assert outputs_of(torch.zeros(3), 3).shape == (3, 1)
    assert outputs_of(torch.zeros(3), 1).shape == (1, 3)
    assert outputs_of(torch.zeros(()), 1).shape == (1, 1)
    with pytest.raises(ValueError, match=r"\(4, 2\) for 3 image"):
        outputs_of(torch.zeros(4, 2), 3)


class NoGradient(Net):
    def forward(self, images):
        if images.sum() > 1e9:  # cannot be traced
            return images
        with torch.no_grad():
            features = self.early(images)
        return self.head(features.mean((2, 3)))


def test_a_backbone_without_gradients_is_explained_behind_it_and_else_refused():
    with pytest.raises(ValueError, match=r"no gradient in the layer 'early\.0'"):
        maps(NoGradient(), layer="early.0")
    with pytest.raises(ValueError, match="no gradient in the images"):
        gradients(NoGradient())


@pytest.mark.parametrize("given", [maps, gradients])
def test_inside_inference_mode_and_no_grad_the_maps_are_those_of_outside(given):
    model = Net()
    expected = given(model)
    with torch.inference_mode():
        films = IMAGES.clone()
        reference = {} if given is gradients else {"reference": [REFERENCE.clone()]}
        assert torch.equal(given(model, films, **reference), expected)
        made_inside = Net()
        with pytest.raises(ValueError, match=r"made inside torch\.inference_mode"):
            given(made_inside)
    with torch.no_grad():
        assert torch.equal(given(model), expected)


BOOLEAN = torch.tensor([True, False])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"targets": ["Effusion", "Mass"]}, "targets: .*'Effusion'.* is a name; give the index"),
        ({"targets": "Effusion"}, "'Effusion' is a name; give the index"),
        ({"targets": [0]}, r"targets: must be one number per image, \(2,\), got \(1,\)"),
        ({"targets": [0, 1, 2]}, r"\(2,\), got \(3,\)"),
        ({"targets": torch.eye(3)[:2]}, r"\(2,\), got \(2, 3\)"),
        ({"targets": None}, "targets: must be one number per image, got a NoneType"),
        ({"targets": True}, "targets: .*index.* got torch.bool"),
        ({"targets": BOOLEAN}, "got torch.bool"),
        ({"targets": [0, 3]}, r"targets \[0, 3\] do not fit a model with 3 output"),
        ({"targets": [0, -1]}, r"targets \[-1, 0\] do not fit"),
        ({"targets": [0.0, 1.0]}, "needs int64"),
        ({"images": IMAGES[0, 0]}, r"images: must be .* got torch.float32 \(16, 16\)"),
        ({"images": "film.png"}, "images: must be .* got 'film.png'"),
        ({"images": []}, "images: the list is empty"),
        ({"images": IMAGES[:0]}, r"images: .*\(0, 3, 16, 16\)"),
        ({"images": [IMAGES[0], IMAGES[1, :, :8]]}, r"one shape, got \(3, 16, 16\), \(3, 8, 16\)"),
        ({"images": (255 * IMAGES).byte()}, "images: are torch.uint8, no normalised values"),
        ({"images": IMAGES.permute(0, 2, 3, 1)}, r"channels before the rows.*\(2, 16, 16, 3\)"),
        ({"images": IMAGES * torch.nan}, r"images: row\(s\) \[0, 1\] hold NaN"),
        ({"images": IMAGES[:, :1]}, r"does not run on images of shape \(1, 16, 16\)"),
        ({"model": lambda images: images}, "model: must be a torch.nn.Module, got a function"),
        ({"model": Net().to("meta")}, "on the device meta"),
        ({"seeds": [1]}, "seeds: 2 images need as many, got 1"),
        ({"seeds": 1}, "seeds: must be whole numbers, got 1"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        gradients(**arguments)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ([], "reference: needs at least 2 images, got 0; a generator that was read"),
        ([REFERENCE[:1]], "at least 2 images, got 1"),
        ([REFERENCE[..., :8]], r"images of shape \(3, 16, 8\) do not fit .*\(3, 16, 16\)"),
        ([REFERENCE[:, :1]], r"images of shape \(1, 16, 16\) do not fit"),
        ([REFERENCE.byte()], "reference: are torch.uint8"),
        ([REFERENCE * torch.inf], r"reference: row\(s\) \[0, 1, 2, 3, 4, 5\] hold NaN"),
        (["film.png"], "reference: must be .* got 'film.png'"),
        ("films", "reference: must be batches of other images, got 'films'"),
        (7, "reference: must be batches of other images, got 7"),
        ([{"a": REFERENCE, "b": REFERENCE}], "of a dictionary of a, b .* call them 'image'"),
    ],
)
def test_a_reference_that_does_not_fit_is_named(reference, said):
    with pytest.raises(ValueError, match=said):
        maps(reference=reference)


def test_a_layer_given_itself_is_told_its_name():
    model = Net()
    said = re.escape("layer: must be a name, as model.named_modules() has them")
    with pytest.raises(ValueError, match=said + ".*its name is 'early'"):
        maps(model, layer=model.early)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_model_takes_the_images_of_any_type(dtype):
    for given in (maps, gradients):
        expected = given()
        for films in (IMAGES, IMAGES.to(dtype)):
            found = given(Net().to(dtype), films)
            assert (found - expected).abs().sum() < 0.05 * expected.abs().sum()
