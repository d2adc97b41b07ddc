"""``python -m pipeline.status [experiment=...] [key=value ...]``: what a run would do, undone."""

import sys

from rich.table import Table

from pipeline.config import ConfigError, compose_config
from pipeline.graph import Stage
from pipeline.plan import plan_run
from pipeline.progress import console, seconds_text
from pipeline.provenance import code_digest
from pipeline.run import store_folder
from pipeline.store import BrokenArtifactError, Store


def status_row(stage: Stage, store: Store) -> tuple[str, str, str, str, str]:
    """Stage, key, state, size in MiB, seconds when it was made."""
    short = stage.key[:12]
    try:
        artifact = store.find(stage.name, stage.key)
    except BrokenArtifactError as error:
        return stage.title, short, f"broken: {error}", "", ""
    if artifact is None:
        return stage.title, short, "miss", "", ""
    stale = artifact.manifest["code"] != code_digest(stage.sources)
    return (
        stage.title,
        short,
        "hit, made by other code" if stale else "hit",
        f"{artifact.manifest['bytes'] / 2**20:.1f}",
        seconds_text(artifact.manifest["seconds"]),
    )


def main(overrides: list[str]) -> int:
    try:
        config = compose_config(overrides)
        store = Store(store_folder(config))
        order = plan_run(config, store.digests).order
    except (ConfigError, ValueError, OSError) as error:
        console.print(f"error: {error}", markup=False)
        return 1
    table = Table("stage", "key", "state", "MiB", "took")
    for stage in order:
        table.add_row(*status_row(stage, store))
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
