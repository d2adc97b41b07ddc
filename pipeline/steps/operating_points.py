"""Operating points: the beta of one bottleneck of one model, found on its validation films."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from attribution.config import OperatingPointsConfig, Score
from pipeline.keys import sample_seeds
from pipeline.step import Source, Step, Work
from pipeline.steps.explainer import BETA, Explainer
from pipeline.steps.maps import read_statistics
from pipeline.store import write_json

if TYPE_CHECKING:  # torch is imported when a step runs
    from attribution.iba import BottleneckMethod
    from attribution.operating_point import Behind
    from data.packing import PackedFilms
    from pipeline.steps.loaded_model import LoadedModel

FILMS, TRIED = "films.csv", "tried.csv"
_AT_ONCE = 8  # films in one forward pass
_WITHOUT = 64  # films that tell what a model says where a finding is absent


@dataclass(frozen=True)
class OperatingPointFilms(Step):
    """``films.csv``: the validation films on which one model's operating points are found, with
    image, target, seed, and absent, the score where the finding is not there.

    ``index`` and ``pack`` are of the films learnt on; ``labels`` of the outputs, none of a
    regressor.
    """

    version: ClassVar = 1
    code: ClassVar = ("models/densenet.py", "models/frozen_densenet.py")
    model: Source
    index: Source
    pack: Source
    labels: tuple[str, ...]
    num_films: int
    seed: int
    threads: int

    def run(self, work: Work) -> None:
        from pipeline.steps.loaded_model import LoadedModel

        loaded = LoadedModel.load(work[self.model], work[self.pack], work.machine, self.threads)
        fold = validation_films(work[self.index], loaded.films, self.seed)
        if not self.labels:
            films = fold.head(self.num_films).assign(finding="severity", absent=0.0)
            films["target"] = films["score"].astype(float)
        else:
            films = predicted_positives(fold, self.labels, self.num_films, loaded)
            absent = medians_without(fold.head(_WITHOUT), self.labels, loaded)
            films["absent"] = absent[films["target"]]
        if films.empty:
            raise ValueError(
                "beta is auto, but the validation fold shows nothing that is explained: give a"
                " number as attribution.<method>.beta"
            )
        films["seed"] = sample_seeds(self.seed, films["image"], films["finding"])
        columns = ["image", "target", "absent", "seed"]
        films[columns].to_csv(work.folder / FILMS, index=False)


@dataclass(frozen=True)
class OperatingPoint(Step):
    """``beta.json``, the largest beta at which the method's rule holds on ``films``, and
    ``tried.csv``, every beta that was tried.

    ``score``: that the rule is about, a probability, or the regressor's own.
    """

    version: ClassVar = 1
    code: ClassVar = (
        "attribution",
        "models/bfloat16.py",
        "models/densenet.py",
        "models/frozen_densenet.py",
    )
    model: Source
    pack: Source
    films: Source
    explainer: Explainer
    statistics: Source
    score: Score
    config: OperatingPointsConfig
    batch_size: int
    threads: int

    def run(self, work: Work) -> None:
        import torch

        from attribution.operating_point import chosen, search
        from pipeline.steps.loaded_model import LoadedModel

        loaded = LoadedModel.load(
            work[self.model],
            work[self.pack],
            work.machine,
            self.threads,
            self.explainer.precision,
        )
        films = pd.read_csv(work[self.films] / FILMS, dtype={"image": str})
        (tap,) = self.explainer.taps
        statistics = read_statistics(work, {tap: self.statistics})

        def method(beta: float) -> "BottleneckMethod":
            return self.explainer.at({self.explainer.method: beta}).build(statistics)  # type: ignore[return-value]

        rule = method(self.config.lowest).rule
        measure = behind_bottleneck(loaded, films, tap, method, self.score, self.batch_size)
        done = 0

        def measured(beta: float) -> "Behind":
            nonlocal done
            found = measure(beta)
            done += 1
            work.progress(done, self.config.rounds)
            return found

        absent = torch.tensor(films["absent"].to_numpy(np.float32))
        tried = search(measured, absent, rule, self.config)
        best = chosen(tried)
        pd.DataFrame(tried).sort_values("beta").to_csv(work.folder / TRIED, index=False)
        about = {"method": self.explainer.method, "tap": tap, "rule": rule.text}
        write_json(work.folder / BETA, {**about, **best._asdict(), "films": len(films)})
        if not best.met:
            work.note(
                f"{self.explainer.method}: no beta between {self.config.lowest:g} and"
                f" {self.config.highest:g} {rule.text}; the nearest is {best.beta:g}, which leaves"
                f" {best.score_behind:.3g} of {best.score:.3g}"
            )


def validation_films(index: Path, films: "PackedFilms", seed: int) -> pd.DataFrame:
    """The readable films of the validation fold, in a seeded order."""
    from pipeline.steps.packed_films import readable_images

    images = readable_images(index, films)
    fold = images[images["fold"] == "val"]
    return fold.iloc[np.random.default_rng(seed).permutation(len(fold))]


def predicted_positives(
    fold: pd.DataFrame, labels: Sequence[str], num_films: int, loaded: "LoadedModel"
) -> pd.DataFrame:
    """``num_films`` rows (image, finding, target, ...), in turn of each of ``labels``: of twice as
    many positives of the ``fold``, in its order, the half whose probability is highest. A rule
    about a prediction that is kept or lost needs films on which there is one."""
    drawn = 2 * -(-num_films // len(labels))
    rows = pd.concat(
        [
            fold[fold[label] == 1].head(drawn)[["image"]].assign(finding=label, target=number)
            for number, label in enumerate(labels)
        ],
        ignore_index=True,
    )
    if rows.empty:
        return rows
    probability = np.take_along_axis(
        _outputs(rows, loaded), rows[["target"]].to_numpy(), axis=1
    ).squeeze(1)
    by_label = rows.assign(probability=probability).groupby("target")["probability"]
    rows["turn"] = by_label.rank(method="first", ascending=False)
    surest = rows[rows["turn"] <= -(-by_label.transform("size") // 2)]
    return surest.sort_values(["turn", "target"]).head(num_films)


def medians_without(
    films: pd.DataFrame, labels: Sequence[str], loaded: "LoadedModel"
) -> np.ndarray:
    """Median probability (C,) of each of ``labels`` over those of ``films`` without it; 0 where all
    show it."""
    probabilities = _outputs(films, loaded)
    without = (films[list(labels)] == 0).to_numpy()
    return np.array(
        [
            np.median(found[shown]) if shown.any() else 0.0
            for found, shown in zip(probabilities.T, without.T, strict=True)
        ]
    )


def _outputs(films: pd.DataFrame, loaded: "LoadedModel") -> np.ndarray:
    """Probabilities of all outputs (n, C)."""
    import torch

    parts = [films.iloc[start : start + _AT_ONCE] for start in range(0, len(films), _AT_ONCE)]
    with torch.no_grad():
        logits = torch.cat([loaded.frozen(loaded.images(part)) for part in parts])
    return logits.sigmoid().cpu().numpy()


def behind_bottleneck(
    loaded: "LoadedModel",
    films: pd.DataFrame,
    tap: str,
    method: Callable[[float], "BottleneckMethod"],
    score: Score,
    batch_size: int,
) -> Callable[[float], "Behind"]:
    """What a beta does to ``films``, whose features at the tap are computed once."""
    import torch

    from attribution.base import SCORES, frozen
    from attribution.operating_point import Behind

    model = loaded.frozen
    batches = []
    with torch.no_grad(), frozen(model):
        for start in range(0, len(films), batch_size):
            part = films.iloc[start : start + batch_size]
            features = model.forward_to(tap, loaded.images(part))
            outputs = model.forward_from(tap, features)
            batches.append((features, outputs, loaded.targets(part), part["seed"].tolist()))

    def measure(beta: float) -> Behind:
        fitted, parts = method(beta), []
        with frozen(model):
            for features, outputs, targets, seeds in batches:
                fit = fitted.fit_features(
                    model, features, outputs, targets, score=SCORES[score], seeds=seeds
                )
                parts.append(fit.diagnostics)
        return Behind(
            *(
                torch.cat([part[name] for part in parts])
                for name in ("bits", "score", "bottleneck_score")
            )
        )

    return measure


def operating_points_table(folders: Mapping[str, Mapping[str, Path]]) -> pd.DataFrame:
    """A row per model (its task and loss) and method, of finished steps: model, method, tap, beta,
    bits, score, score_behind, rule, met, films, share_met."""
    columns = [
        *("model", "method", "tap", "beta", "bits", "score", "score_behind", "rule", "met"),
        *("films", "share_met"),
    ]
    rows = [
        {"model": model, **json.loads((folder / BETA).read_text(encoding="utf-8"))}
        for model, by_method in folders.items()
        for folder in by_method.values()
    ]
    return pd.DataFrame(rows, columns=columns)
