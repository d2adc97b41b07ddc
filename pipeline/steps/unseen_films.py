"""unseen_films: of test films from another set, those that the models did not learn from."""

import shutil
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from pipeline.step import Source, Step, Work
from pipeline.steps.films import POLYGONS


@dataclass(frozen=True)
class UnseenFilms(Step):
    """The ``index`` of test films, in which each film that is also in ``learnt_index``, by its
    pixels, has that film's patient and fold: what was learnt from is no longer in the test fold."""

    version: ClassVar = 1
    code: ClassVar = ("data/same_films.py",)
    index: Source
    pack: Source
    learnt_index: Source
    learnt_pack: Source

    def run(self, work: Work) -> None:
        from data.integrity import list_problems
        from data.packing import PackedFilms
        from data.same_films import same_films
        from pipeline.steps.packed_films import readable_images

        packed, learnt_pack = PackedFilms(work[self.pack]), PackedFilms(work[self.learnt_pack])
        images = readable_images(work[self.index], packed)
        learnt = readable_images(work[self.learnt_index], learnt_pack)
        same = same_films(packed, images["image"].tolist(), learnt_pack, learnt["image"].tolist())
        shared = same >= 0
        images["patient"] = images["patient"].astype(str)
        of_learnt = learnt.iloc[same[shared]]
        for column in ("patient", "fold"):
            images.loc[shared, column] = of_learnt[column].astype(str).to_numpy()
        images.to_csv(work.folder / "images.csv", index=False)
        shutil.copyfile(work[self.index] / POLYGONS, work.folder / POLYGONS)
        seen = (images["fold"] != "test").to_numpy()
        reasons = [
            f"is {learnt['image'].iloc[row]}, from which the models learn: film left out"
            for row in same[seen]
        ]
        left_out = images["image"][seen]
        problems = list_problems(left_out, "film", pd.Series(reasons, left_out.index, dtype=object))
        problems.to_csv(work.folder / "problems.csv", index=False)
        work.note(
            f"of {len(images):,} films, by their pixels, {seen.sum():,} are among those that the"
            f" models learn from and are left out; {(shared & ~seen).sum():,} are in the same set's"
            f" test fold, which tells their patients; {(~shared).sum():,} are not in that set, and"
            " each counts as a patient"
        )
        if seen.all():
            raise ValueError("the models learn from all of these films: none is left to measure")
