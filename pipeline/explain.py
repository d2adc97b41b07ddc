"""``python -m pipeline.explain --image film.png``: one film of one's own, by a run's model.

Writes ``overlay.png``, each method's map as ``<method>.npy`` (float32 (side, side), in the method's
own unit) and ``explanation.json`` into a new folder of ``<outputs>/explain``.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from attribution.config import required_taps
from data.config import Source
from pipeline.config import METHODS, section
from pipeline.finished_run import FinishedRun
from pipeline.keys import file_sha256, sample_seed
from pipeline.progress import console, say, stage_progress
from pipeline.provenance import provenance
from pipeline.store import write_json

if TYPE_CHECKING:  # torch is imported once the arguments are known to be right
    from attribution.base import Attribution

_DICOM_PREAMBLE = 128  # bytes before the letters DICM


class ExplainError(ValueError):
    """What was asked cannot be done; the message names it."""


@dataclass(frozen=True)
class Explanation:
    """Predicted probability of every label, and the maps of one of them."""

    target: str
    seed: int
    probabilities: dict[str, float]
    attributions: "dict[str, Attribution]"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.explain", description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("outputs/latest"), help="a run's folder")
    parser.add_argument("--image", type=Path, required=True, help="PNG, JPEG or DICOM")
    parser.add_argument("--target", help="a label of the model; default: the most probable one")
    parser.add_argument("--method", default="iba", help=f"all (of the run), {', '.join(METHODS)}")
    parser.add_argument("--out", type=Path, help="a new folder")
    options = parser.parse_args(arguments)
    try:
        run = FinishedRun.read(options.run)
        time = datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f")
        out = options.out or run.outputs / "explain" / time
        if out.exists():
            raise ExplainError(f"--out: {out} is there already; name a new folder")
        film, notes = read_film(options.image, run.config.dataset.side)
        if run.config.dataset.source is Source.phantoms:
            notes.append("this model was trained on phantoms: it knows nothing of patients")
        for note in notes:
            say(f"{options.image.name}: {note}")
        found = explain_film(run, film, options.image.name, options.target, options.method)
        _show(found)
        _write(out, run, options.image, film, notes, found)
    except (ValueError, OSError, FloatingPointError) as error:
        say(f"error: {error}")
        return 1
    return 0


def read_film(path: Path, side: int) -> tuple[NDArray[np.uint8], list[str]]:
    """The film as the model sees it, uint8 (side, side), and what one should know about it.

    Raises a ``data.integrity.DataError`` that names the file and what is wrong with it.
    """
    from data.integrity import read_grey
    from data.packing import resize_and_crop

    notes = []
    if _is_dicom(path):
        from data.dicom import read_dicom

        whole, facts = read_dicom(path)
        notes += [f"{field}: {reason}" for field, reason in facts.doubts]
    else:
        whole = read_grey(path)
    height, width = whole.shape
    if height != width:
        notes.append(f"{width} x {height} pixels: the model sees the square in the middle")
    return resize_and_crop(whole, side), notes


def explain_film(
    run: FinishedRun, film: NDArray[np.uint8], name: str, target: str | None, method: str
) -> Explanation:
    """What the run's model predicts of the film, and why.

    A film of the run's test set is explained with the seed, and so the map, that it has there.
    Raises ValueError for a target or method that the run has not.
    """
    config = run.config.attribution
    methods = config.methods if method == "all" else [method]
    if not set(methods) <= set(METHODS):
        raise ExplainError(f"--method: {method!r} is not known; all, {', '.join(METHODS)}")
    loss = run.config.train.primary.value
    taps = sorted({tap for each in methods for tap in required_taps(each, config)})
    weights = run.artifact(f"train {loss}") / "model.safetensors"
    statistics_of = {tap: run.artifact(f"statistics {tap} {loss}") for tap in taps}

    import torch

    from attribution.base import SCORES
    from attribution.methods import NEEDS_LAYERS, build_method
    from attribution.statistics import FeatureStatistics
    from models.checkpoints import load_checkpoint
    from models.densenet import normalise
    from models.device import resolve_device
    from models.frozen_densenet import FrozenDenseNet

    torch.set_num_threads(run.config.threads)
    model, about = load_checkpoint(weights)
    labels: list[str] = about["labels"]
    if target is not None and target not in labels:
        raise ExplainError(f"--target: {target!r} is no label of this model: {', '.join(labels)}")
    device = resolve_device("auto")
    frozen = FrozenDenseNet(model.to(device))
    images = normalise(torch.from_numpy(film.copy())[None].to(device))
    with torch.no_grad():
        predicted = model(images).sigmoid()[0].cpu().tolist()
    probabilities = dict(zip(labels, predicted, strict=True))
    target = target or max(probabilities, key=lambda label: probabilities[label])
    seed = sample_seed(run.config.seed, name, target)
    statistics = {
        tap: FeatureStatistics.load(folder / "statistics.safetensors")
        for tap, folder in statistics_of.items()
    }
    attributions = {}
    with stage_progress("explain") as progress:
        for done, each in enumerate(methods, 1):
            attributions[each] = build_method(each, config, statistics)(
                model if each in NEEDS_LAYERS else frozen,
                images,
                torch.tensor([labels.index(target)], device=device),
                score=SCORES[config.score],
                seeds=[seed],
            )
            progress(done, len(methods))
    return Explanation(target, seed, probabilities, attributions)


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_DICOM_PREAMBLE + 4)[_DICOM_PREAMBLE:] == b"DICM"
    except OSError:
        return False  # whoever reads it next says what is wrong


def _show(found: Explanation) -> None:
    view = Table("label", "probability")
    for label, probability in sorted(found.probabilities.items(), key=lambda each: -each[1]):
        style = "bold" if label == found.target else None
        view.add_row(label, f"{probability:.3f}", style=style)
    console.print(view)
    for method, attribution in found.attributions.items():
        if "bits" in attribution.diagnostics:
            say(f"{method}: {float(attribution.diagnostics['bits'][0]):.1f} bits")


def _write(
    out: Path,
    run: FinishedRun,
    image: Path,
    film: NDArray[np.uint8],
    notes: Sequence[str],
    found: Explanation,
) -> None:
    from evaluation.figures import png
    from evaluation.overlays import Example, mosaic

    maps = {method: each.maps[0].numpy() for method, each in found.attributions.items()}
    example = Example(
        sample=0,
        image="",  # a file's name may be a person's, and pictures travel
        finding=found.target,
        probability=found.probabilities[found.target],
        film=film,
        maps=maps,
        box=None,
    )
    out.mkdir(parents=True)
    (out / "overlay.png").write_bytes(png(mosaic([example])))
    for method, heat in maps.items():
        np.save(out / f"{method}.npy", heat)
    write_json(out / "explanation.json", _record(run, image, notes, found))
    for file in ("overlay.png", *(f"{method}.npy" for method in maps), "explanation.json"):
        say(f"written: {out / file}")


def _record(
    run: FinishedRun, image: Path, notes: Sequence[str], found: Explanation
) -> dict[str, Any]:
    from evaluation.overlays import IN_BITS

    config = run.config.attribution
    return {
        "image": {"name": image.name, "sha256": file_sha256(image), "notes": list(notes)},
        "run": {
            "name": run.name,
            "seed": run.config.seed,
            "train": run.stages[f"train {run.config.train.primary.value}"]["key"],
        },
        "target": found.target,
        "seed": found.seed,
        "score": config.score.value,
        "probabilities": found.probabilities,
        "methods": {
            method: {
                "settings": section(getattr(config, method)),
                "unit": "bits/pixel" if method in IN_BITS else "the method's own",
                "diagnostics": {
                    name: value if math.isfinite(value) else None
                    for name, value in (
                        (name, float(values[0])) for name, values in each.diagnostics.items()
                    )
                },
            }
            for method, each in found.attributions.items()
        },
        "provenance": provenance(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
