"""Shortcuts: how well a linear model tells findings without looking for one."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from data.cohort_index import KNOWN_COLUMNS
from evaluation.config import BootstrapConfig, ShortcutConfig
from pipeline.step import Source, Step, Work


@dataclass(frozen=True)
class Shortcuts(Step):
    """The shortcut audit. ``films``: of phantoms, whose letters, leads and tubes are known."""

    version: ClassVar = 2
    code: ClassVar = ("evaluation/shortcuts.py",)
    films: Source | None
    index: Source
    pack: Source
    labels: tuple[str, ...]
    config: ShortcutConfig
    bootstrap: BootstrapConfig
    seed: int
    max_films: int = 2048  # of the training and validation folds, in the order of their names

    def run(self, work: Work) -> None:
        from data.packing import PackedFilms
        from evaluation.paper_tables import write_csv
        from evaluation.shortcuts import shortcut_audit
        from pipeline.steps.packed_films import readable_images

        packed = PackedFilms(work[self.pack])
        images = readable_images(work[self.index], packed)
        # The test fold stays unseen by whatever may shape the films.
        seen = images["fold"] != "test"
        if "age" in images:
            seen &= images["age"].notna()
        images = images[seen].head(self.max_films)
        if unknown := [name for name in KNOWN_COLUMNS if name not in images]:
            work.note(f"without {', '.join(unknown)}, which the data set does not tell")
        names = images["image"].tolist()
        view, age, follow_up = (
            images[name].to_numpy() if name in images else None for name in KNOWN_COLUMNS
        )
        regions = None
        if self.films is not None:
            regions = _regions(work[self.films], names, packed.side)
        table = shortcut_audit(
            packed.load(names),
            images[list(self.labels)],
            images["patient"].to_numpy(),
            view,
            age,
            follow_up,
            regions,
            self.config,
            self.bootstrap,
            self.seed,
        )
        write_csv(table, work.folder / "shortcuts.csv")
        for row in table[table["exceeds"]].itertuples():
            work.note(f"{row[1]} can be told by {row.features} alone with an AUC of {row.auc:.2f}")


def _regions(folder: Path, names: list[str], side: int) -> np.ndarray:
    from data.image_files import read_grey
    from data.packing import resize_and_crop
    from data.phantom.nih_layout import MARKS

    return np.stack([resize_and_crop(read_grey(folder / MARKS / name), side) > 0 for name in names])
