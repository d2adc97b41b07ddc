"""``python -m pipeline.tools.map_similarity <run> <task> <method> <method>``: are two one map?

Prints the median and the quartiles over samples of Spearman's correlation between their pixels.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from pipeline.finished_run import FinishedRun
from pipeline.progress import say
from pipeline.steps.maps import map_shards


def main(arguments: list[str]) -> int:
    if len(arguments) != 4:
        say("usage: python -m pipeline.tools.map_similarity <run> <task> <method> <method>")
        return 2
    folder, task, *methods = arguments
    try:
        run = FinishedRun.read(Path(folder))
        found = rank_correlations(*(run.artifact(f"maps {task} {method}") for method in methods))
    except (ValueError, OSError) as error:
        say(f"error: {error}")
        return 1
    low, middle, high = np.nanquantile(found, [0.25, 0.5, 0.75])
    say(f"{methods[0]}, {methods[1]}: {middle:.3f} ({low:.3f} to {high:.3f}), {len(found)} samples")
    return 0


def rank_correlations(first: Path, second: Path) -> np.ndarray:
    """Spearman's correlation (N,) between the maps of two finished steps, sample by sample; NaN for
    a map of one value. ValueError where they are of other samples."""
    found = []
    for ours, theirs in zip(map_shards(first), map_shards(second), strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(f"maps of shapes {ours.shape} and {theirs.shape} do not go together")
        pairs = zip(ours, theirs, strict=True)
        found += [spearmanr(one.ravel(), other.ravel()).statistic for one, other in pairs]
    return np.array(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
