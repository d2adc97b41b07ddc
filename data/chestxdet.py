"""ChestX-Det: what three radiologists outlined on 3,578 NIH films, which have other names here.

Source: Lian et al., IEEE TMI 2021, https://github.com/Deepwise-AILab/ChestX-Det-Dataset
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.cohort_index import FRAME, CohortIndex
from data.integrity import (
    DataError,
    Problem,
    check_file,
    commonest,
    list_problems,
    printable,
    problem_table,
    resolve_inside,
)
from data.nih import UNSAFE_NAME
from data.nih_files import find_films

FILES = {"train": "ChestX_Det_train.json", "test": "ChestX_Det_test.json"}  # by the set's part
ADVICE = (
    f"put {' and '.join(FILES.values())} there (https://github.com/Deepwise-AILab/ChestX-Det-Dataset"
    " holds both and says where the films are), and the films into train/ and test/"
)
OUTPUTS = {  # finding -> what models call it: the same word, or one that is documented to mean it
    "Atelectasis": ("Atelectasis",),
    "Calcification": ("Calcification",),
    "Cardiomegaly": ("Cardiomegaly",),
    "Consolidation": ("Consolidation",),  # not Infiltration, which in NIH's labels is another
    "Diffuse Nodule": ("Diffuse Nodule",),  # not Nodule, which is another finding here too
    "Effusion": ("Effusion", "Pleural Effusion"),  # NIH's and CheXpert's word
    "Emphysema": ("Emphysema",),
    "Fibrosis": ("Fibrosis",),
    "Fracture": ("Fracture",),
    "Mass": ("Mass",),
    "Nodule": ("Nodule",),
    "Pleural Thickening": ("Pleural Thickening", "Pleural_Thickening"),  # NIH writes the latter
    "Pneumothorax": ("Pneumothorax",),
}
MAX_BYTES = 32 * 1024**2  # ours: 15 times the larger official file
MAX_POINTS = 2000  # ours: twice those of the longest official polygon
FAR = 100.0 * FRAME  # ours: no coordinate is meant to be there


class Outline(NamedTuple):
    """A polygon: its finding, and x, y of its points (P, 2) in the 1024-px frame."""

    finding: str
    points: NDArray[np.float64]


def read_chestxdet(root: Path, labels: Sequence[str]) -> CohortIndex:
    """Index of the official files in ``root`` and the films that lie anywhere below it.

    Its own column is part (of ChestX-Det: train, test). A uint8 column follows for each of
    ``labels``, the model's outputs, that ``OUTPUTS`` names; the others have none, for nobody looked
    for them. All films are in the fold "test". The set tells no patients, so each film counts as
    one. A film with a polygon that cannot be used is left out: its truth would lack a part.
    Raises DataError where nothing can be read: no such folder, no official file or a malformed one,
    none of its films found or usable, or none of ``labels`` named.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: set paths.chestxdet to ChestX-Det")
    if not any((root / name).is_file() for name in FILES.values()):
        raise DataError(f"{root} holds no {' or '.join(FILES.values())}: {ADVICE}")
    meant = {
        finding: name for finding, names in OUTPUTS.items() for name in names if name in labels
    }
    if not meant:
        raise DataError(f"no finding of ChestX-Det is an output of the model: {', '.join(labels)}")
    parts, outlines, problems, expected = _read_records(root)
    paths, scan_problems = find_films(root)
    names = pd.Series(sorted(parts), dtype=object)
    present = names.isin(paths.index)
    absent = list_problems(names[~present], "annotations", "listed there, but not found")
    listed = pd.concat([problem_table(problems), _left_out(outlines, meant), scan_problems, absent])
    if not present.any():
        raise DataError(
            f"none of the {expected} films that ChestX-Det names can be used ({len(paths)} PNG"
            f" files lie below {root}): {commonest(listed)}; {ADVICE}"
        )
    found = names[present].tolist()
    images = pd.DataFrame({"image": found, "path": paths[found].to_numpy(), "patient": found})
    images["fold"], images["part"] = "test", [parts[name] for name in found]
    for finding, label in meant.items():
        shown = [any(finding == each.finding for each in outlines[name]) for name in found]
        images[label] = np.array(shown, dtype=np.uint8)
    rows = [
        (name, meant[each.finding], json.dumps(each.points.tolist()))
        for name in found
        for each in outlines[name]
        if each.finding in meant
    ]
    return CohortIndex(
        images=images,
        boxes=None,
        problems=listed.astype(str).reset_index(drop=True),
        expected=expected,
        found=len(found),
        polygons=pd.DataFrame(rows, columns=["image", "finding", "points"]),
    )


def _read_records(
    root: Path,
) -> tuple[dict[str, str], dict[str, list[Outline]], list[Problem], int]:
    """Of each usable film its part and polygons; what is doubtful; and how many films are named."""
    parts: dict[str, str] = {}
    outlines: dict[str, list[Outline]] = {}
    problems = []
    expected = 0
    for part, file in FILES.items():
        if not (root / file).is_file():
            problems.append(Problem(file, "file", "not found: its films are left out"))
            continue
        for number, record in enumerate(_read_list(root, file), 1):
            expected += 1
            name, field = "", f"{file} record {number}"
            try:
                name = _name(record)
                if name in parts:
                    raise DataError("the film has a record above")
                outlined, doubts = _outlines(record)
            except DataError as error:
                problems.append(Problem(printable(name), field, f"{error}: film skipped"))
                continue
            parts[name], outlines[name] = part, outlined
            problems += [Problem(name, finding, doubt) for finding, doubt in doubts]
    return parts, outlines, problems, expected


def _read_list(root: Path, file: str) -> list[Any]:
    path = resolve_inside(root, file)
    try:
        check_file(path, MAX_BYTES)
        records = json.loads(path.read_text(encoding="utf-8-sig"))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of which a wrong encoding is one
        raise DataError(f"{path} is no JSON in UTF-8: {error}") from error
    if not isinstance(records, list):
        raise DataError(f"{path}: expected a list of films, found {type(records).__name__}")
    return records


def _name(record: Any) -> str:
    """Raises DataError where the record names no film."""
    name = record.get("file_name") if isinstance(record, dict) else None
    if not isinstance(name, str) or not name:
        raise DataError("no file_name")
    if UNSAFE_NAME.search(name) or printable(name) != name:
        raise DataError(f"{printable(name)!r} is not a plain file name")
    return name


def _outlines(record: dict[str, Any]) -> tuple[list[Outline], list[tuple[str, str]]]:
    """The polygons of a film; and findings with what is doubtful about a polygon of theirs.
    DataError where one cannot be used."""
    findings, polygons = record.get("syms"), record.get("polygons")
    if not isinstance(findings, list) or not isinstance(polygons, list):
        raise DataError("syms and polygons are not both lists")
    if len(findings) != len(polygons):
        raise DataError("as many syms as polygons are needed")
    outlines: list[Outline] = []
    doubts = []
    for finding, polygon in zip(findings, polygons, strict=True):
        if not isinstance(finding, str) or finding not in OUTPUTS:
            raise DataError(f"unknown finding {printable(str(finding))[:40]!r}")
        points = _points(polygon)
        if any(
            finding == each.finding and np.array_equal(points, each.points) for each in outlines
        ):
            doubts.append((finding, "the same polygon stands above: polygon skipped"))
            continue
        turns = _turns(points)
        if not turns.any():
            raise DataError("a polygon without an area")
        if (points < 0).any() or (points > FRAME).any():
            doubts.append((finding, f"a polygon reaches outside the {FRAME}-px frame: clipped"))
        if _crosses_itself(turns):
            doubts.append((finding, "a polygon crosses itself: it holds what it winds around"))
        outlines.append(Outline(finding, points))
    return outlines, doubts


def _points(polygon: Any) -> NDArray[np.float64]:
    """Points (P, 2) of a polygon that reaches into the frame; DataError for any other."""
    if not isinstance(polygon, list) or len(polygon) < 3:
        raise DataError("a polygon of fewer than three points")
    if len(polygon) > MAX_POINTS:
        raise DataError(f"a polygon of more than {MAX_POINTS} points")
    try:
        points = np.array(polygon, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) <= FAR).all():
        raise DataError("a polygon whose points are not two numbers each, in or near the frame")
    if (points.max(axis=0) <= 0).any() or (points.min(axis=0) >= FRAME).any():
        raise DataError(f"a polygon wholly outside the {FRAME}-px frame")
    return points


def _turns(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """To which side of edge i, from point i to the next, point j lies: -1, 0 or 1 (P, P)."""
    x, y = points.T
    (along, down) = (np.roll(points, -1, axis=0) - points).T
    return np.sign(along[:, None] * (y - y[:, None]) - down[:, None] * (x - x[:, None]))


def _crosses_itself(turns: NDArray[np.float64]) -> bool:
    apart = turns * np.roll(turns, -1, axis=1) < 0  # the ends of edge j lie beside edge i
    return bool((apart & apart.T).any())


def _left_out(outlines: dict[str, list[Outline]], meant: dict[str, str]) -> pd.DataFrame:
    """The findings that no output means."""
    count = Counter(each.finding for film in outlines.values() for each in film)
    return problem_table(
        Problem(
            "ChestX_Det_*.json",
            f"{finding}, {n} polygons",
            "no output of the model means this: left out",
        )
        for finding, n in sorted(count.items())
        if finding not in meant
    )
