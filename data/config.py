"""Settings of the data wing. Nothing here imports torch, so that a command line composes fast."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


def user_path(text: str) -> Path:
    """``~`` and ``~name`` at the front are home folders.

    Raises ValueError for an unknown name.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{text}: no home folder is known by this name; ./{text} is one called so"
        ) from error


class Source(Enum):
    """Where the films come from: rendered by the project, or files of the user's at ``paths.*``."""

    phantoms = "phantoms"
    files = "files"


class PlantedShortcut(Enum):
    """Whether a mark beside the body goes with a label: then the mark is the right explanation."""

    none = "none"
    marker = "marker"  # a token in a lower corner: data/phantom/markers.py


@dataclass(frozen=True)
class PhantomConfig:
    """The embedded phantom films, written in the official NIH layout."""

    # name of the difficulty: data/phantom/difficulty.py
    version: str = field(
        default="v3", metadata={"one_of": ("v2", "v2-planted", "v3", "v3-planted")}
    )
    # films in train_val_list.txt, at least
    num_train_val: int = field(default=1600, metadata={"least": 1})
    num_test: int = field(default=400, metadata={"least": 1})  # films in test_list.txt, at least
    side: int = 256  # PNG side in pixels; boxes stay in the 1024-px frame
    seed: int = 0
    exposure_jitter: float = 0.22  # ours: deviation of ln(exposure) between films
    quanta_per_mm2: float = 60000.0  # ours: detected in the open beam; noise falls as its root
    scatter: float = 0.10  # ours: scattered light, as a fraction of the light around
    planted_shortcut: PlantedShortcut = PlantedShortcut.none


@dataclass(frozen=True)
class ShapesConfig:
    """Films of healthy phantoms with drawn shapes: what pre-training sees instead of the task."""

    num_films: int = field(default=1600, metadata={"least": 1})  # at least: whole patients
    side: int = field(default=128, metadata={"least": 32})
    seed: int = 0  # no body stands in another set: data/phantom/shapes.py


class LabelledTestFilms(Enum):
    """Which films with findings are predicted, explained and measured."""

    own = "own"  # the test fold of those learnt on
    chestxdet = "chestxdet"  # ChestX-Det, whose truth is polygons, at paths.chestxdet


@dataclass(frozen=True)
class DatasetConfig:
    """Which films, which labels, which split, and the size that the network sees.

    Of a data set of one's own, its reader decides labels and split.
    """

    source: Source = Source.phantoms
    cohort: str = "nih"  # whose files: NIH's, at paths.nih, or an own one's, at paths.films
    test: LabelledTestFilms = LabelledTestFilms.own
    # published code: Resize(224), CenterCrop(224); else the network's last cells would be cut off
    side: int = field(default=224, metadata={"least": 32, "multiple_of": 32})
    num_labels: int = 14  # published code: 14 outputs; the paper's text says 8
    # published code, there per image; ours per patient
    val_fraction: float = field(default=0.12, metadata={"between": (0, 1)})
    split_seed: int = 0
    pack_shard: int = field(default=2048, metadata={"least": 1})  # films in one memory-mapped file
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    shapes: ShapesConfig = field(default_factory=ShapesConfig)  # of train.pretrain_epochs


OWN_COHORTS: dict[str, Any] = {}
"""What ``cohorts.register_cohort`` added, by name: a ``cohorts.OwnCohort`` each."""


class DicomScaling(Enum):
    """How stored DICOM values become grey."""

    header = "header"  # ours: BitsStored, rescale and window as the header says
    published_code = "published_code"  # 255/4095 or 255/65535, whichever the maximum fits


class ScoredFilms(Enum):
    """Where the films with zone scores come from that the detectors and the regressor learn on."""

    none = "none"
    phantoms = "phantoms"  # rendered by the project, in BrixIA's layout
    files = "files"  # BrixIA's, at paths.brixia


class TestFilms(Enum):
    """Which films with zone scores are predicted, explained and measured."""

    own = "own"  # the test fold of those learnt on
    cohen = "cohen"  # the public Cohen subset, at paths.cohen


class LungSource(Enum):
    """Where lung masks come from."""

    phantoms = "phantoms"  # a network that learns the phantoms' own masks
    pairs = "pairs"  # a network that learns the films and masks at paths.lungs
    masks = "masks"  # read at paths.lungs: a mask for every test film, under the film's name


@dataclass(frozen=True)
class LungsConfig:
    """The lung masks that are cut into zones."""

    source: LungSource = LungSource.pairs
    # ours: of the films that the network sees, which are halved four times
    side: int = field(default=256, metadata={"least": 16, "multiple_of": 16})
    # that it learns from; null: all
    max_films: int | None = field(default=None, metadata={"least": 2})
    # ours: of the pairs, held out
    test_fraction: float = field(default=0.2, metadata={"between": (0, 1)})
    epochs: int = field(default=40, metadata={"least": 1})
    batch_size: int = field(default=8, metadata={"least": 1})
    learning_rate: float = 3e-3  # ours: AdamW, one cycle


@dataclass(frozen=True)
class BrixiaConfig:
    """How BrixIA's films are read and split."""

    scaling: DicomScaling = DicomScaling.header
    split_file: str = ""  # the published split, your copy below paths.brixia; "": per subject
    # published code, there per image
    val_fraction: float = field(default=0.12, metadata={"between": (0, 1)})
    # published code: 5 % of what is left, per image
    test_fraction: float = field(default=0.044, metadata={"between": (0, 1)})
    split_seed: int = 0


class CohenReader(Enum):
    """Whose scores of the Cohen subset are the labels."""

    senior = "senior"
    junior = "junior"


@dataclass(frozen=True)
class BrixiaPhantomConfig:
    """The embedded phantom films with zone scores, written in BrixIA's layout."""

    # name of the difficulty: data/phantom/scored_difficulty.py
    version: str = field(default="v2", metadata={"one_of": ("v1", "v2")})
    num_films: int = field(default=600, metadata={"least": 1})  # at least: whole patients are drawn
    side: int = 256  # of the film before the collimator cuts it to a rectangle
    seed: int = 1  # another than the NIH phantoms': no body stands in both sets
    # ours: of the films, those with each ill zone's counterfactual; covers a test fold of this size
    counterfactuals: float = field(default=0.25, metadata={"least": 0})
