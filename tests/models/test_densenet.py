"""The hook-safe DenseNet121 against torchvision's own."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import densenet121
from torchvision.transforms.functional import normalize, to_tensor

from models.densenet import FINAL, TAPS, DenseNet121, normalise


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    """torchvision's densenet121, its batch norms away from the identity that they start as."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = densenet121(weights=None, num_classes=5)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0.0, 0.2)
        model.train()
        for _ in range(3):
            model(torch.randn(8, 3, 64, 64))
    return model.eval()


@pytest.fixture
def model(reference: nn.Module) -> DenseNet121:
    own = DenseNet121(5)
    own.load_state_dict(reference.state_dict())
    return own.eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_state_dict_has_torchvisions_keys_and_shapes(reference: nn.Module) -> None:
    own = {key: value.shape for key, value in DenseNet121(5).state_dict().items()}
    assert own == {key: value.shape for key, value in reference.state_dict().items()}


@torch.inference_mode()
def test_eval_outputs_are_bit_equal_to_torchvisions(
    reference: nn.Module, model: DenseNet121, images: Tensor
) -> None:
    assert torch.equal(model(images), reference(images))


def test_training_step_is_bit_equal_to_torchvisions(
    reference: nn.Module, model: DenseNet121, images: Tensor
) -> None:
    other = densenet121(weights=None, num_classes=5)
    other.load_state_dict(reference.state_dict())
    outputs = []
    for network in (model.train(), other.train()):
        logits = network(images)
        logits.square().sum().backward()
        outputs.append(logits)
    assert torch.equal(*outputs)
    gradients = dict(other.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.grad, gradients[name].grad), name
    buffers = dict(other.named_buffers())
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, buffers[name]), name


@pytest.mark.parametrize("tap", [*TAPS, FINAL])
@torch.inference_mode()
def test_the_two_halves_at_a_tap_make_the_whole(
    model: DenseNet121, images: Tensor, tap: str
) -> None:
    assert torch.equal(model.forward_from(tap, model.forward_to(tap, images)), model(images))


@torch.inference_mode()
def test_taps_have_the_shapes_of_dense_blocks(model: DenseNet121, images: Tensor) -> None:
    shapes = [tuple(model.forward_to(tap, images).shape[1:]) for tap in (*TAPS, FINAL)]
    assert shapes == [(256, 16, 16), (512, 8, 8), (1024, 4, 4), (1024, 2, 2)]


def test_several_taps_come_from_one_pass_that_ends_at_the_last(
    model: DenseNet121, images: Tensor
) -> None:
    ran: list[str] = []
    for name, module in model.features.named_children():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    together = model.forward_to_all(("block3", "block1"), images)
    assert len(ran) == len(set(ran))
    assert ran[-1] == "denseblock3"
    for tap in ("block1", "block3"):
        assert torch.equal(together[tap], model.forward_to(tap, images))


def test_an_unknown_tap_is_refused_with_the_choices(model: DenseNet121, images: Tensor) -> None:
    with pytest.raises(ValueError, match="'block4': choose one of block1, block2, block3, final"):
        model.forward_to("block4", images)
    with pytest.raises(ValueError, match="choose one of"):
        model.forward_from("norm5", images)


@torch.inference_mode()
def test_what_a_hook_sees_is_not_overwritten_later(model: DenseNet121, images: Tensor) -> None:
    kept: dict[str, tuple[Tensor, Tensor]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d | nn.Conv2d):
            module.register_forward_hook(
                lambda _module, _inputs, output, name=name: kept.update(
                    {name: (output, output.clone())}
                )
            )
    model(images)
    assert len(kept) == 241
    for name, (seen, clone) in kept.items():
        assert torch.equal(seen, clone), name
    assert kept["features.norm5"][0].min() < 0


def test_backward_hooks_work_at_norm5(model: DenseNet121, images: Tensor) -> None:
    seen: list[Tensor] = []
    model.features.norm5.register_full_backward_hook(lambda _m, _i, out: seen.append(out[0]))
    model(images)[:, 1].sum().backward()
    final = model.final_feature_map(images)
    (expected,) = torch.autograd.grad(model.forward_from(FINAL, final)[:, 1].sum(), final)
    assert torch.allclose(seen[0], expected * (final > 0))


def test_normalise_is_torchvisions_to_tensor_and_normalize() -> None:
    films = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    rgb = films[0].numpy()[..., None].repeat(3, axis=2)
    expected = normalize(to_tensor(rgb), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.equal(normalise(films)[0], expected)


@pytest.mark.parametrize("films", [torch.rand(2, 8, 8), torch.zeros(8, 8, dtype=torch.uint8)])
def test_normalise_refuses_what_is_no_batch_of_raw_films(films: Tensor) -> None:
    with pytest.raises(ValueError, match="uint8 of shape"):
        normalise(films)


@pytest.mark.parametrize("side", [32, 64, 96, 128, 224])
def test_at_the_sides_that_are_allowed_every_pixel_reaches_the_outputs(
    model: DenseNet121, side: int
) -> None:
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad(model(images.requires_grad_())[0, 0], images)
    assert (gradient[0] != 0).any(0).all()
