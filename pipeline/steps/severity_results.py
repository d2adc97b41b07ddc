"""Tables of a regressor of severity: what it predicts, and its maps against the zones' scores."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation.config import BootstrapConfig
from pipeline.steps.fine_tuning import train_mean
from pipeline.steps.prediction import read_outputs
from pipeline.steps.severity import read_sums

_OF_ZONES = ("zone_", "relative_")


def predicted_severity(
    dataset: str,
    prediction: Path,
    index: Path,
    test_index: Path,
    second_reader: bool,
    bootstrap: BootstrapConfig,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """severity.csv and its films: the regressor, what needs no film, perhaps another radiologist.

    ``index``: of the films that the regressor learnt on.
    """
    from evaluation.severity import severity_table

    names, outputs = read_outputs(prediction)
    films = pd.read_csv(test_index / "images.csv", dtype={"image": str})
    films = films.set_index("image").loc[names]
    predictions = {
        "regressor": outputs[:, 0].astype(np.float64),
        "constant": np.full(len(names), train_mean(index)),
    }
    if second_reader:
        predictions["second_reader"] = films["other_score"].to_numpy(np.float64)
    truth, patients = films["score"].to_numpy(), films["patient"].to_numpy()
    table = severity_table(dataset, predictions, truth, patients, bootstrap, seed)
    samples = {"image": names, "patient": patients, "score": truth, **predictions}
    return table, pd.DataFrame(samples)


def pcc(
    measured: pd.DataFrame, folders: Mapping[str, Path], bootstrap: BootstrapConfig, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """pcc.csv and its samples. ``measured``: per-sample rows of the steps in ``folders``."""
    from evaluation.sample_means import pcc_table

    sums = {method: read_sums(folder) for method, folder in folders.items()}
    table = pcc_table(measured, sums, bootstrap, seed)
    return table, measured.drop(columns=_zone_metrics(measured))


def zone_rows(measured: pd.DataFrame) -> pd.DataFrame:
    """zones_samples.csv: a row for each number that is measured of a film's zones."""
    names = ["method", "sample", "image", "patient", "severity"]
    values = _zone_metrics(measured)
    return measured.melt(id_vars=names, value_vars=values, var_name="metric")


def _zone_metrics(measured: pd.DataFrame) -> list[str]:
    return [str(name) for name in measured if str(name).startswith(_OF_ZONES)]
