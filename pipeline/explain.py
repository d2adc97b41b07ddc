"""``python -m pipeline.explain --image film.png``: explain one film of your own by a run's model.

Writes ``overlay.png``, each method's map as ``<method>.npy`` (float32 (side, side), in the method's
own unit) and ``explanation.json`` into a new folder of ``<outputs>/explain``; of a DICOM film also
``overlay.dcm``, where ``--secondary-capture`` asks for it.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from attribution.config import METHODS
from data.config import Source, user_path
from data.dicom_start import is_dicom
from pipeline.config import section
from pipeline.finished_run import FinishedRun
from pipeline.keys import file_sha256, sample_seed
from pipeline.progress import console, progress_bar, say
from pipeline.provenance import provenance
from pipeline.store import write_json

if TYPE_CHECKING:  # torch is imported once the arguments are known to be right
    from attribution.base import Attribution


@dataclass(frozen=True)
class Film:
    """A film of the user's: uint8 (side, side) as the model sees it, with notes to show."""

    pixels: NDArray[np.uint8]
    notes: list[str]
    sha256: str  # of the file


@dataclass(frozen=True)
class Explanation:
    """Predicted probability of every label, and the maps of one of them."""

    target: str
    seed: int
    probabilities: dict[str, float]
    attributions: "dict[str, Attribution]"
    settings: dict[str, Any]  # by method, each beta a number


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.explain", description=__doc__)
    parser.add_argument(
        "--run", type=user_path, default=Path("outputs/latest"), help="a run's folder"
    )
    parser.add_argument("--image", type=user_path, required=True, help="PNG, JPEG or DICOM")
    parser.add_argument("--target", help="a label of the model; default: the most probable one")
    parser.add_argument("--method", default="iba", help=f"all (of the run), {', '.join(METHODS)}")
    parser.add_argument("--out", type=user_path, help="a new folder")
    parser.add_argument(
        "--secondary-capture",
        action="store_true",
        help="of a DICOM film: the overlay as DICOM too, without any field of the film's",
    )
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # parts of a name, perhaps
        parser.error("some arguments are not known; a path with blanks needs quotes: '...'")
    try:
        run = FinishedRun.read(options.run)
        out = options.out or run.outputs / "explain" / f"{datetime.now():%Y-%m-%d-%H-%M-%S-%f}"
        if out.exists():
            raise ValueError(f"--out: {out} is there already; name a new folder")
        if options.secondary_capture and not is_dicom(options.image):
            raise ValueError("--secondary-capture: the film is not DICOM")
        film = read_film(options.image, run.config.dataset.side)
        if run.config.dataset.source is Source.phantoms:
            film.notes.append("this model was trained on phantoms: it knows nothing of patients")
        if (own := run.config.dataset.cohort) != "nih":
            film.notes.append(f"read as NIH's films are, not by the reader of {own}")
        for note in film.notes:
            say(note)
        item = _item(run, options.image.name, film.sha256)
        explanation = explain_film(run, film.pixels, item, options.target, options.method)
        _show(explanation)
        _write(out, run, film, explanation)
        if options.secondary_capture:
            _write_secondary_capture(out, options.image, explanation)
    except (ValueError, OSError, FloatingPointError) as error:
        say(f"error: {error}")
        return 1
    return 0


def read_film(path: Path, side: int) -> Film:
    """Raises ValueError, which does not name the film."""
    from data.grey_range import grey_doubt
    from data.image_files import read_film
    from data.packing import resize_and_crop

    notes = []
    with _nameless(path):
        if is_dicom(path):
            from data.dicom import read_dicom

            whole, facts = read_dicom(path)
            notes += [f"{field}: {reason}" for field, reason in facts.doubts]
            if facts.aspect != 1:
                notes.append("its pixels are not square: the film was scaled until they were")
        else:
            whole, turned = read_film(path)
            notes += [turned] if turned else []
        notes += [doubt] if (doubt := grey_doubt(whole)) else []
        pixels = resize_and_crop(whole, side)
        digest = file_sha256(path)
    height, width = whole.shape
    if height != width:
        notes.append(f"{width} x {height} pixels: the model sees the square in the middle")
    return Film(pixels, notes, digest)


@contextmanager
def _nameless(film: Path) -> Iterator[None]:
    """Turns errors of reading into ValueErrors that say what is wrong with the film, but not its
    name or path: these may be a patient's, and what is on a screen is copied."""
    from data.integrity import DataError, reason_alone

    try:
        yield
    except DataError as error:
        raise ValueError(f"--image: {reason_alone(error, film)}") from None
    except OSError as error:
        raise ValueError(f"--image: cannot be read: {error.strerror}") from None


def _item(run: FinishedRun, name: str, digest: str) -> str:
    """What the seed is made of: of a film of the run its name, so that the map is the run's; else
    the digest, because a guessed name could be tested against the seed."""
    import pandas as pd

    if "index findings" not in run.steps:
        return digest
    index = pd.read_csv(run.artifact("index findings") / "images.csv", dtype={"image": str})
    return name if name in set(index["image"]) else digest


def explain_film(
    run: FinishedRun, pixels: NDArray[np.uint8], item: str, target: str | None, method: str
) -> Explanation:
    """What the run's model predicts for ``pixels`` (side, side), and why.

    The seed is made of the run's own, ``item`` and the target. Raises ValueError for a target or
    method that the run lacks.
    """
    config = run.config.attribution
    methods = config.methods if method == "all" else [method]
    if not set(methods) <= set(METHODS):
        raise ValueError(f"--method: {method!r} is not known; all, {', '.join(METHODS)}")
    loss = run.config.train.primary.value
    explainers = [run.explainer(each) for each in methods]
    files = run.statistics(sorted({tap for each in explainers for tap in each.taps}))
    weights = run.artifact(f"train findings {loss}") / "model.safetensors"

    import torch

    from attribution.methods import NEEDS_LAYERS
    from attribution.statistics import FeatureStatistics
    from models.bfloat16 import explained_network
    from models.checkpoints import load_checkpoint
    from models.densenet import normalise
    from models.device import resolve_device

    torch.set_num_threads(run.config.threads)
    model, about = load_checkpoint(weights)
    labels: list[str] = about["labels"]
    if target not in (None, *labels):
        raise ValueError(f"--target: {target!r} is no label of this model: {', '.join(labels)}")
    device = resolve_device("auto")
    model.to(device)
    frozen = {each: explained_network(model, each) for each in {e.precision for e in explainers}}
    images = normalise(torch.from_numpy(pixels.copy())[None].to(device))
    with torch.no_grad():
        predicted = model(images).sigmoid()[0].cpu().tolist()
    probabilities = dict(zip(labels, predicted, strict=True))
    target = target or max(probabilities, key=lambda label: probabilities[label])
    seed = sample_seed(run.config.seed, item, target)
    statistics = {tap: FeatureStatistics.load(path) for tap, path in files.items()}
    attributions = {}
    with progress_bar("explain") as progress:
        for done, each in enumerate(explainers, 1):
            attributions[each.method] = each.build(statistics)(
                model if each.method in NEEDS_LAYERS else frozen[each.precision],
                images,
                torch.tensor([labels.index(target)], device=device),
                score=each.score_function,
                seeds=[seed],
            )
            progress(done, len(methods))
    settings = {each.method: each.settings for each in explainers}
    return Explanation(target, seed, probabilities, attributions, settings)


def _show(explanation: Explanation) -> None:
    view = Table("label", "probability")
    for label, probability in sorted(explanation.probabilities.items(), key=lambda each: -each[1]):
        is_target = label == explanation.target
        view.add_row(label, f"{probability:.3f}", style="bold" if is_target else None)
    console.print(view)
    for method, attribution in explanation.attributions.items():
        if "bits" in attribution.diagnostics:
            say(f"{method}: {float(attribution.diagnostics['bits'][0]):.1f} bits")


def _write(out: Path, run: FinishedRun, film: Film, explanation: Explanation) -> None:
    from evaluation.charts import png
    from evaluation.overlays import Example, mosaic

    maps = {method: each.maps[0].numpy() for method, each in explanation.attributions.items()}
    target, image = explanation.target, ""  # a file's name may be a person's, and pictures travel
    example = Example(0, image, target, explanation.probabilities[target], film.pixels, maps)
    out.mkdir(parents=True)
    (out / "overlay.png").write_bytes(png(mosaic([example])))
    for method, heat in maps.items():
        np.save(out / f"{method}.npy", heat)
    write_json(out / "explanation.json", _record(run, film, explanation))
    for file in ("overlay.png", *(f"{method}.npy" for method in maps), "explanation.json"):
        say(f"written: {out / file}")


def _write_secondary_capture(out: Path, film: Path, explanation: Explanation) -> None:
    from PIL import Image

    from data.dicom import read_dicom_facts
    from data.secondary_capture import write_secondary_capture
    from evaluation.method_names import method_label

    with _nameless(film):
        text_excluded = read_dicom_facts(film).text_excluded
    with Image.open(out / "overlay.png") as overlay:
        picture = np.asarray(overlay.convert("RGB"))
    write_secondary_capture(
        out / "overlay.dcm",
        picture,
        f"{', '.join(map(method_label, explanation.attributions))}: what a model's prediction of "
        f"{explanation.target} rests on, drawn over the film. For research, not for diagnosis.",
        text_excluded=text_excluded,
    )
    say(f"written: {out / 'overlay.dcm'}")


def _record(run: FinishedRun, film: Film, explanation: Explanation) -> dict[str, Any]:
    from evaluation.method_names import IN_BITS

    config = run.config.attribution
    return {
        "image": {"sha256": film.sha256, "notes": film.notes},
        "run": {
            "name": run.name,
            "seed": run.config.seed,
            "train": run.steps[f"train findings {run.config.train.primary.value}"]["key"],
        },
        "target": explanation.target,
        "seed": explanation.seed,
        "score": config.score.value,
        "probabilities": explanation.probabilities,
        "methods": {
            method: {
                "settings": section(explanation.settings[method]),
                "unit": "bits/pixel" if method in IN_BITS else "the method's own",
                "diagnostics": {
                    name: float(values[0]) if math.isfinite(values[0]) else None
                    for name, values in each.diagnostics.items()
                },
            }
            for method, each in explanation.attributions.items()
        },
        "provenance": provenance(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
