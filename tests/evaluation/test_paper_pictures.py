"""The numbers under the maps of Fig. 1, against masses that were planted."""

import numpy as np
import pytest

from evaluation.overlays import Example, ScoredZones
from evaluation.paper_pictures import FIG1_METHODS, fig1_row

SIDE = 32
BOX = (256.0, 256.0, 512.0, 512.0)  # columns and rows 8 to 23, half on either side


def example(**changes: object) -> Example:
    iba, inverse = np.zeros((2, SIDE, SIDE), np.float32)
    iba[10, 10] = 4  # at the left only
    inverse[10, 10], inverse[10, 20] = 3, 1
    inverse[0, 31] = 100  # outside the box
    inverse[12, 20] = -5  # not drawn
    given = {
        "sample": 0,
        "image": "a.png",
        "finding": "Cardiomegaly",
        "probability": 0.9,
        "film": np.zeros((SIDE, SIDE), np.uint8),
        "maps": dict(zip(FIG1_METHODS, (iba, inverse), strict=True)),
        "boxes": (BOX,),
    }
    return Example(**given | changes)


def test_the_lesser_side_of_the_box_is_weighed_by_what_is_drawn():
    assert fig1_row([example()]).notes == {
        "iba": ("0 % on the lesser side",),
        "inverse_iba": ("25 % on the lesser side",),
    }


def test_all_boxes_of_a_finding_count_as_one_region():
    left, right = (256.0, 256.0, 128.0, 512.0), (600.0, 256.0, 128.0, 512.0)
    row = fig1_row([example(boxes=(left,)), example(sample=1, boxes=(right,))])
    assert row.boxes == (left, right)
    assert row.notes["inverse_iba"] == ("25 % on the lesser side",)


def test_a_map_that_is_empty_in_the_box_says_so_below_what_else_is_known():
    maps = {"iba": np.zeros((SIDE, SIDE), np.float32)}
    notes = fig1_row([example(maps=maps, notes={"iba": ("IoU 0.00",)})]).notes
    assert notes == {"iba": ("IoU 0.00", "nothing on the lesser side")}


@pytest.mark.parametrize(("scores", "share"), [([3, 0, 0, 0, 0, 0], 75), ([3, 3, 0, 0, 0, 0], 100)])
def test_of_a_scored_film_the_share_of_the_marked_zones_is_written(scores, share):
    masks = np.zeros((6, SIDE, SIDE), bool)
    masks[0, :, :16], masks[1, :, 16:] = True, True
    inverse = np.array(example().maps["inverse_iba"])
    inverse[0, 31] = 0
    row = example(
        boxes=(), zones=ScoredZones(masks, np.array(scores), 3), maps={"inverse_iba": inverse}
    )
    assert fig1_row([row]).notes == {"inverse_iba": (f"{share} % in zones of score 3",)}
