"""A page of films with boxes and mask outlines, to be looked at before anything is believed."""

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data.phantom.lesions import FINDINGS
from data.phantom.nih_layout import (
    BOX_FRAME,
    BOX_NAMES,
    BOXES,
    DATA_ENTRY,
    LESIONS,
    MASKS,
    mask_name,
)

TILE = 320  # pixels of one film
SEVERAL = "several lesions"  # of one finding: what a film of the sheet is chosen for
TITLE = 26  # pixels of the line above it
COLUMNS = 5
BOX_COLOUR = (60, 200, 255)  # blue, green, red
MASK_COLOUR = (120, 220, 60)


def contact_sheet(folder: Path, path: Path, count: int = 20) -> None:
    """Draw `count` test films of a phantom folder into the PNG `path`.

    The rule: in turn No Finding, a finding at several places, and each finding, every time the
    first test film (by name) not yet shown whose labels hold it. Boxes are amber, mask outlines
    green; of several lesions the box is that of the strongest, the outlines are of all.
    Raises FileNotFoundError when `folder` holds no finished phantom set.
    """
    for needed in (DATA_ENTRY, BOXES, "test_list.txt"):
        if not (folder / needed).exists():
            raise FileNotFoundError(f"{folder / needed} is absent: render the phantoms first")
    tested = set((folder / "test_list.txt").read_text().split("\n"))
    with (folder / DATA_ENTRY).open(newline="") as file:
        rows = [row for row in csv.reader(file) if row[0] in tested]
    boxes = _read_boxes(folder)
    chosen = _choose(rows, _films_with_several(folder), count)
    tiles = [_tile(folder, row, boxes.get(row[0], [])) for row in chosen]
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % COLUMNS)
    lines = [np.hstack(tiles[k : k + COLUMNS]) for k in range(0, len(tiles), COLUMNS)]
    if not cv2.imwrite(str(path), np.vstack(lines)):
        raise OSError(f"could not write {path}")


def _films_with_several(folder: Path) -> set[str]:
    """Names of the test films with several lesions of one finding."""
    paths = (folder / LESIONS).iterdir()
    return {f"{path.stem.rsplit('_', 1)[0]}.png" for path in paths if _read(path).max() > 1}


def _choose(rows: list[list[str]], several: set[str], count: int) -> list[list[str]]:
    left: list[list[str]] = list(rows)
    chosen: list[list[str]] = []

    def shows(row: list[str], name: str) -> bool:
        return row[0] in several if name == SEVERAL else name in row[1].split("|")

    wanted = ("No Finding", SEVERAL, *FINDINGS)
    while left and len(chosen) < count:
        found = False
        for name in wanted:
            match = next((row for row in left if shows(row, name)), None)
            if match is not None and len(chosen) < count:
                left.remove(match)
                chosen.append(match)
                found = True
        if not found:
            break
    return chosen


def _read_boxes(folder: Path) -> dict[str, list[tuple[str, list[float]]]]:
    canonical = {v: k for k, v in BOX_NAMES.items()}
    boxes: dict[str, list[tuple[str, list[float]]]] = {}
    with (folder / BOXES).open(newline="") as file:
        for row in list(csv.reader(file))[1:]:
            finding = canonical.get(row[1], row[1])
            boxes.setdefault(row[0], []).append((finding, [float(v) for v in row[2:6]]))
    return boxes


def _read(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise FileNotFoundError(f"{path} is absent: render the phantoms first")
    return np.asarray(pixels, np.uint8)


def _tile(folder: Path, row: list[str], boxes: list[tuple[str, list[float]]]) -> NDArray[np.uint8]:
    film = _read(folder / "images" / row[0])
    shown = cv2.cvtColor(
        cv2.resize(film, (TILE, TILE), interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR
    )
    for finding, (x, y, w, h) in boxes:
        mask = _read(folder / MASKS / mask_name(row[0], finding))
        large = cv2.resize(mask, (TILE, TILE), interpolation=cv2.INTER_LINEAR)
        outline, _ = cv2.findContours(
            (large > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(shown, outline, -1, MASK_COLOUR, 1, cv2.LINE_AA)
        scale = TILE / BOX_FRAME
        corner = (round(x * scale), round(y * scale))
        opposite = (round((x + w) * scale), round((y + h) * scale))
        cv2.rectangle(shown, corner, opposite, BOX_COLOUR, 1)
        at = (corner[0] + 2, max(corner[1] - 4, 10))
        count = int(_read(folder / LESIONS / mask_name(row[0], finding)).max())
        word = f"{finding} 1 of {count}" if count > 1 else finding
        cv2.putText(shown, word, at, cv2.FONT_HERSHEY_SIMPLEX, 0.36, BOX_COLOUR, 1, cv2.LINE_AA)
    title = np.zeros((TITLE, TILE, 3), np.uint8)
    text = f"{Path(row[0]).stem}  {row[6]}  {row[1].replace('|', ', ')}"
    cv2.putText(title, text, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (235,) * 3, 1, cv2.LINE_AA)
    return np.asarray(np.vstack([title, shown]), np.uint8)
