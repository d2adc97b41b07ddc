"""docs/tour.ipynb runs from top to bottom, and what it says of its toy is so."""

import json
from pathlib import Path

import matplotlib
import pytest
import torch

TOUR = Path(__file__).resolve().parents[1] / "docs" / "tour.ipynb"
CELLS = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]


def test_the_tour_runs_and_its_explanations_are_of_what_the_toy_learnt():
    matplotlib.use("Agg")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tour = {"__name__": "tour"}
    try:
        for cell in CELLS:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), tour)
    finally:
        torch.set_num_threads(threads)
        matplotlib.pyplot.close("all")
    assert (tour["of_ill"] > tour["of_healthy"]).sum() >= 6  # of 8 patients
    for found in tour["maps"].values():
        assert found.maps.shape == (4, 64, 64)
        bits = found.maps.sum((1, 2))
        torch.testing.assert_close(bits, found.diagnostics["bits"], rtol=1e-3, atol=1e-2)
        assert (bits > 0).all()
    rows = tour["rows"]
    assert rows["iba"]["insertion"] > rows["random"]["insertion"]
    assert (
        rows["iba"]["share in the effusion"] > rows["share of all pixels"]["share in the effusion"]
    )
    assert tour["examples"][0].boxes[0] == pytest.approx(tour["box_of"](tour["masks"][0].numpy()))


def test_the_tour_is_kept_without_outputs():
    for cell in CELLS:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
