"""What a caller gives to ``explain``, as the methods take it, or ValueError in the caller's terms.

Arguments, and the model's first output, are checked here and nowhere else.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attribution.base import SCORES, frozen
from attribution.config import Score
from attribution.tapped import TappedModule

_IMAGE_KEYS = ("image", "images", "pixel_values")


def checked_layer(layer: Any, model: nn.Module) -> str | None:
    """The name of a layer."""
    if layer is None or isinstance(layer, str):
        return layer
    names = [name for name, module in model.named_modules() if module is layer]
    raise ValueError(
        f"layer: must be a name, as model.named_modules() has them, got {_said(layer)}"
        + (f"; its name is {names[0]!r}" if names else "")
    )


def checked_device(model: Any) -> torch.device:
    """Where the model's weights are."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model: must be a torch.nn.Module, got {_said(model)}")
    weights = [*model.parameters(), *model.buffers()]
    if any(each.is_meta for each in weights):
        raise ValueError("model: its weights are on the device meta, which holds no values")
    if any(each.is_inference() for each in weights):
        raise ValueError(
            "model: its weights were made inside torch.inference_mode, where nothing has a "
            "gradient: load the model outside"
        )
    return weights[0].device if weights else torch.device("cpu")


def checked_images(images: Any, device: torch.device) -> Tensor:
    """float32 (N, C, H, W) on the device, of a tensor or array of that shape, of one image
    (C, H, W), or of a list of such."""
    if isinstance(images, list | tuple):
        each = [checked_images(image, device) for image in images]
        if not each:
            raise ValueError("images: the list is empty")
        if len({image.shape[1:] for image in each}) > 1:
            shapes = ", ".join(sorted({str(tuple(image.shape[1:])) for image in each}))
            raise ValueError(f"images: all must be of one shape, got {shapes}")
        return torch.cat(each)
    return _batch("images", images, device)


def checked_targets(targets: Any, num_images: int, device: torch.device) -> Tensor:
    """int64 or float32 (N,) on the device; one number is the target of every image."""
    listed = targets if isinstance(targets, list | tuple) else [targets]
    if any(isinstance(target, str) for target in listed):
        raise ValueError(
            f"targets: {_said(targets)} is a name; give the index of the model's output, from 0"
        )
    try:
        if isinstance(targets, list | tuple):
            targets = [each.item() if hasattr(each, "item") else each for each in targets]
        found = torch.as_tensor(np.asarray(targets) if not isinstance(targets, Tensor) else targets)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"targets: must be one number per image, got {_said(targets)}") from error
    if found.dtype == torch.bool or found.is_complex():
        raise ValueError(
            f"targets: must be the index of the output to explain, or a regressor's reference "
            f"score, got {found.dtype}"
        )
    if found.ndim == 0:
        found = found.expand(num_images)
    if found.shape != (num_images,):
        raise ValueError(
            f"targets: must be one number per image, ({num_images},), got {tuple(found.shape)}"
        )
    kind = torch.float32 if found.is_floating_point() else torch.int64
    return found.detach().to(device, kind).clone()


def checked_score(score: Any) -> Score:
    """A Score, or one of its names."""
    try:
        return Score(score)
    except ValueError as error:
        known = ", ".join(each.value for each in Score)
        raise ValueError(f"score: {_said(score)} is none of {known}") from error


def checked_seeds(seeds: Any, num_images: int) -> Sequence[int]:
    """One whole number per image; 0 ... N - 1 if not given."""
    if seeds is None:
        return range(num_images)
    try:
        found = [int(seed) for seed in seeds]
    except (TypeError, ValueError) as error:
        raise ValueError(f"seeds: must be whole numbers, got {_said(seeds)}") from error
    if len(found) != num_images:
        raise ValueError(f"seeds: {num_images} images need as many, got {len(found)}")
    return found


def checked_reference(reference: Any, images: Tensor) -> Iterator[Tensor]:
    """Batches float32 (n, C, H, W) of the images' size, on their device.

    Of a DataLoader or Dataset, too: of (images, labels) the first, of a dictionary the images. A
    tensor is one batch.
    """
    if isinstance(reference, Tensor | np.ndarray) and reference.ndim == 4:
        reference = [reference]
    try:
        batches = None if isinstance(reference, str | Mapping) else iter(reference)
    except TypeError:
        batches = None
    if batches is None:
        raise ValueError(f"reference: must be batches of other images, got {_said(reference)}")
    count = 0
    for given in batches:
        batch = _batch("reference", _images_of(given), images.device)
        if batch.shape[1:] != images.shape[1:]:
            raise ValueError(
                f"reference: images of shape {tuple(batch.shape[1:])} do not fit the images to "
                f"explain, of shape {tuple(images.shape[1:])}: a bottleneck compares them place by "
                "place"
            )
        count += len(batch)
        yield batch
    if count < 2:
        raise ValueError(
            f"reference: needs at least 2 images, got {count}; a generator that was read before is "
            "empty"
        )


def _images_of(given: Any) -> Any:
    """The images of what a DataLoader yields."""
    if isinstance(given, list | tuple) and given:
        return _images_of(given[0])
    if not isinstance(given, Mapping):
        return given
    found = [given[key] for key in _IMAGE_KEYS if key in given]
    if not found:
        found = [value for value in given.values() if getattr(value, "ndim", 0) >= 3]
    if len(found) != 1:
        raise ValueError(
            f"reference: of a dictionary of {', '.join(map(str, given))} the images are not told: "
            f"call them {_IMAGE_KEYS[0]!r}"
        )
    return found[0]


def _batch(name: str, given: Any, device: torch.device) -> Tensor:
    if isinstance(given, np.ndarray) and given.dtype.kind in "biuf":
        given = torch.from_numpy(np.array(given, order="C"))
    if not isinstance(given, Tensor) or given.ndim not in (3, 4) or not given.numel():
        raise ValueError(
            f"{name}: must be tensors or arrays (n, C, H, W) or one image (C, H, W), got "
            f"{_said(given)}"
        )
    if not given.is_floating_point():
        raise ValueError(
            f"{name}: are {given.dtype}, no normalised values: scale them as those that the model "
            "was trained on (models.densenet.normalise for the project's own)"
        )
    if given.shape[-1] in (1, 3) and given.shape[-3] not in (1, 3):
        raise ValueError(
            f"{name}: must have the channels before the rows, (n, C, H, W), got "
            f"{tuple(given.shape)}"
        )
    batch = given.detach().to(device, torch.float32).clone()
    batch = batch if batch.ndim == 4 else batch[None]
    bad = (~batch.flatten(1).isfinite().all(1)).nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"{name}: row(s) {bad} hold NaN or infinity")
    return batch


def _said(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, str | int | float | list | tuple):
        return repr(value)[:60]
    return f"a {type(value).__name__}"


def check_first_output(
    model: TappedModule, images: Tensor, targets: Tensor, layer: str | None, score: Score
) -> None:
    """Runs the model on the first image: it must take it, give outputs that fit targets and score,
    and let a gradient through to ``layer`` (to the image where that is None)."""
    first = images[:1]
    with frozen(model), torch.enable_grad():
        try:
            if layer is None:
                leaf = first.clone().requires_grad_()
                outputs = model(leaf)
            else:
                leaf = model.forward_to(layer, first).detach().clone().requires_grad_()
                outputs = model.forward_from(layer, leaf)
        except (ValueError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # a foreign model fails in as many ways
            raise ValueError(
                f"the model does not run on images of shape {tuple(images.shape[1:])}: "
                f"{type(error).__name__}: {error}"
            ) from error
        scores = SCORES[score](outputs.expand(len(targets), -1), targets)
        place = "images" if layer is None else f"layer {layer!r}"
        if not scores.requires_grad:
            raise ValueError(
                f"the model's outputs have no gradient in the {place}: something on the way is "
                "detached or runs under torch.no_grad; take a layer behind it, or have it run with "
                "gradients"
            )
        if layer in model.prefix_tokens:
            weights = torch.linspace(1, 2, outputs.shape[1]).to(outputs)
            (gradient,) = torch.autograd.grad((outputs * weights).sum(), leaf)
            if not gradient.any():
                raise ValueError(
                    f"layer: behind {layer!r} the outputs depend on the class token alone, and on "
                    "no place of the image: take an earlier layer"
                )
