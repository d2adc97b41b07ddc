"""The masks that the frontier renders anew are those of the phantoms' layout."""

import numpy as np
import pandas as pd

from data.config import DatasetConfig, PhantomConfig
from data.image_files import read_grey
from data.packing import resize_and_crop
from data.phantom.nih_layout import MASKS, mask_name, render_nih
from pipeline.tools.frontier import lesion_masks


def test_masks_that_are_rendered_anew_are_those_of_the_layout(tmp_path):
    phantom = PhantomConfig(num_train_val=4, num_test=12, side=64)
    render_nih(phantom, tmp_path, workers=1)
    entries = pd.read_csv(tmp_path / "Data_Entry_2017_v2020.csv").set_index("Image Index")
    tested = (tmp_path / "test_list.txt").read_text().split()
    samples = pd.DataFrame(
        [
            (image, finding)
            for image in tested
            for finding in entries.loc[image, "Finding Labels"].split("|")
            if finding != "No Finding"
        ],
        columns=["image", "finding"],
    )
    assert len(samples) > 3
    found = lesion_masks(DatasetConfig(side=32, phantom=phantom), samples)
    for mask, image, finding in zip(found, samples["image"], samples["finding"], strict=True):
        of_layout = read_grey(tmp_path / MASKS / mask_name(image, finding))
        assert mask.any()
        assert np.array_equal(mask, resize_and_crop(of_layout, 32) >= 128)
