"""How hard the phantoms are, as a name that stands for exactly one set of numbers.

Results are comparable only on films of one difficulty. Whoever changes a number that shapes the
films gives it a new name, in `DIFFICULTIES` and in `PINNED`. What the sets differ in stands here,
what they share in the modules that shape a film.
"""

import ast
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from data.config import PhantomConfig

SHAPING = (
    "anatomy",
    "cohort",
    "film",
    "frame",
    "lesions",
    "markers",
    "projection",
    "skeleton",
    "vessels",
)
SHAPING_SINCE_V3 = ("comorbidity", "several")  # unused by v2
PLANTED = "-planted"  # behind the name of a set whose films bear the planted token
PINNED = {
    "v2": "f121633628d10c396bdc10520475df7ea76205c6f7797ec8d42b6c1f24291724",
    "v2-planted": "299c3124fcf8f3da118015c7b1ceb96b802bddef4647a8a8b9196a22aef56294",
    "v3": "76de78b74ca7454d84681509df420b5484e606a4e677115ab0b58d513adc9b67",
    "v3-planted": "40aeaeacd725d51634ff1fe86ca332c28d58b54d4ab053a875737c6cb43c2d42",
}


@dataclass(frozen=True)
class Difficulty:
    """What the films of one name have that those of another have not.

    prevalence: of each finding, as a fraction of films; empty: v2's independent draws.
    odds: by how much a finding multiplies the odds of another on an abnormal film; 1 if not named.
    several: chance that a patient has a focal finding at several places, if at all.
    faint: density of the faintest of several lesions, relative to what it would be alone.
    wrong_labels: fraction of the positive labels that are wrong, in training and validation.
    """

    prevalence: tuple[tuple[str, float], ...] = ()
    odds: tuple[tuple[str, str, float], ...] = ()
    several: float = 0.0
    faint: float = 1.0
    wrong_labels: float = 0.0


DIFFICULTIES = {
    "v2": Difficulty(),
    "v3": Difficulty(
        # NIH's order, its three rarest of the boxed eight among the rare ones, all of them raised
        # so that 1,600 films hold enough of each.
        prevalence=(
            ("Atelectasis", 0.15),
            ("Cardiomegaly", 0.05),
            ("Effusion", 0.17),
            ("Infiltration", 0.19),
            ("Mass", 0.12),
            ("Nodule", 0.14),
            ("Pneumonia", 0.05),
            ("Pneumothorax", 0.06),
        ),
        # Such that over all films, of which half are healthy, the odds ratios are about those of
        # NIH's labels: 3.2, 4.9, 2.2, 2.2, 3.5 and 3.4.
        odds=(
            ("Atelectasis", "Effusion", 1.6),
            ("Cardiomegaly", "Effusion", 2.5),
            ("Effusion", "Infiltration", 1.2),
            ("Effusion", "Mass", 1.2),
            ("Infiltration", "Pneumonia", 1.8),
            ("Mass", "Nodule", 1.8),
        ),
        several=0.30,
        faint=0.5,
        wrong_labels=0.05,
    ),
}


def difficulty_of(version: str) -> Difficulty:
    """Of `PhantomConfig.version`. Raises ValueError for a name that stands for nothing."""
    name = version.removesuffix(PLANTED)
    if name not in DIFFICULTIES:
        known = ", ".join(known + end for known in DIFFICULTIES for end in ("", PLANTED))
        raise ValueError(f"dataset.phantom.version is {version!r}: it must be one of {known}")
    return DIFFICULTIES[name]


def difficulty_hash(config: PhantomConfig) -> str:
    """sha256 (hex) of every number in the modules that shape a film, and of the settings that do.

    Not of how many films, of which seed and of what side. Code may be rewritten under one name as
    long as it keeps its numbers. Raises ValueError for an unknown version.
    """
    settings = {
        "exposure_jitter": config.exposure_jitter,
        "planted_shortcut": config.planted_shortcut.value,
        "quanta_per_mm2": config.quanta_per_mm2,
        "scatter": config.scatter,
    }
    content: dict[str, object] = {"settings": settings}
    modules = list(SHAPING)
    difficulty = difficulty_of(config.version)
    if difficulty != Difficulty():
        content["difficulty"] = asdict(difficulty)
        modules += SHAPING_SINCE_V3
    content["numbers"] = {module: numbers_of(module) for module in modules}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def difficulty_name(config: PhantomConfig) -> str:
    """`config.version` where it has the numbers of that name; else the name, marked as changed."""
    found = difficulty_hash(config)
    if PINNED.get(config.version) == found:
        return config.version
    return f"{config.version}, changed: {found[:8]}"


def numbers_of(module: str) -> list[float]:
    """The number literals of a module of this package, with their signs, in order of size."""
    path = Path(__file__).with_name(f"{module}.py")
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        sign = 1
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            node, sign = node.operand, -1
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append(float(sign * value))
    return sorted(found)
