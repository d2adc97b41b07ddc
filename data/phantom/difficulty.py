"""How hard the phantoms are, as a name that stands for exactly one set of numbers.

Results are comparable only on films of one difficulty. Whoever changes a number that shapes the
films gives it a new name, in `PhantomConfig.version` and in `PINNED`.
"""

import ast
import hashlib
import json
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
PINNED = {
    "v2": "f121633628d10c396bdc10520475df7ea76205c6f7797ec8d42b6c1f24291724",
    "v2-planted": "299c3124fcf8f3da118015c7b1ceb96b802bddef4647a8a8b9196a22aef56294",
}


def difficulty_hash(config: PhantomConfig) -> str:
    """sha256 (hex) of every number in the modules that shape a film, and of the settings that do.

    Not of how many films, of which seed and of what side. Code may be rewritten under one name as
    long as it keeps its numbers.
    """
    settings = {
        "exposure_jitter": config.exposure_jitter,
        "planted_shortcut": config.planted_shortcut.value,
        "quanta_per_mm2": config.quanta_per_mm2,
        "scatter": config.scatter,
    }
    numbers = {module: _numbers(Path(__file__).with_name(f"{module}.py")) for module in SHAPING}
    canonical = json.dumps({"settings": settings, "numbers": numbers}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def difficulty_name(config: PhantomConfig) -> str:
    """`config.version` where it has the numbers of that name; else the name, marked as changed."""
    found = difficulty_hash(config)
    if PINNED.get(config.version) == found:
        return config.version
    return f"{config.version}, changed: {found[:8]}"


def _numbers(path: Path) -> list[float]:
    """The number literals of a source file, with their signs, in order of size."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        sign = 1
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            node, sign = node.operand, -1
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append(float(sign * value))
    return sorted(found)
