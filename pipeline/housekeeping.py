"""Care of a store: lists and verifies artifacts, prunes what no run refers to, cleans up."""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from pipeline.config import compose_config
from pipeline.progress import progress_bar, say, seconds_text, show_table
from pipeline.runner import PLAN, RECORD
from pipeline.store import (
    BrokenArtifactError,
    LockedError,
    Store,
    read_manifest,
    remove,
)

_LINK_SECONDS = 60  # a run renames its link to the newest run at once


def references(store: Store, outputs: Path) -> Counter[Path]:
    """How many run folders below ``outputs`` refer to each artifact folder.

    A finished run refers to what its ``run.json`` names, another to what its ``plan.json`` does.

    Raises ValueError where a record cannot be read.
    """
    found: Counter[Path] = Counter()
    for name, folders, files in os.walk(outputs):
        folders[:] = [folder for folder in folders if Path(name, folder) != store.root]
        record = next((Path(name, record) for record in (RECORD, PLAN) if record in files), None)
        if record is None:
            continue
        try:
            steps = json.loads(record.read_text(encoding="utf-8"))["steps"].values()
            found.update({store.folder(step["step"], step["key"]) for step in steps})
        except FileNotFoundError:  # the run ended in this moment
            return references(store, outputs)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{record}: cannot be read ({error!r}), so what it refers to is unknown: restore"
                " it or delete its run folder"
            ) from error
    return found


def unreferenced(store: Store, outputs: Path) -> list[Path]:
    """Artifacts, and workspaces of interrupted runs, that no run folder refers to."""
    kept = references(store, outputs)
    everything = [*store.folders(), *store.workspaces()]
    return [path for path in everything if path.with_suffix("") not in kept]


def prune(store: Store, outputs: Path, chosen: Sequence[Path]) -> list[Path]:
    """Removes of ``chosen`` what is still unreferenced and not locked; returns what it removed."""
    still = set(unreferenced(store, outputs))  # a run may have started while the user thought
    return _remove_unless_locked(store, chosen, lambda path: [path] if path in still else [])


def clean(store: Store, outputs: Path) -> list[Path]:
    """Removes what no run can use; returns what it removed.

    That is: half-written files (``*.tmp``) in workspaces, a workspace of a finished artifact, an
    artifact's folder without a readable manifest, a stale link to the newest run. Any other
    workspace stays, because a run resumes there; so does what another process has locked.
    """

    def useless(path: Path) -> list[Path]:
        if path.suffix:
            return [path] if path.with_suffix("").exists() else list(path.rglob("*.tmp"))
        try:
            read_manifest(path)
        except BrokenArtifactError:
            return [path]
        return []

    removed = _remove_unless_locked(store, [*store.folders(), *store.workspaces()], useless)
    for link in outputs.glob(".latest.*"):
        if time.time() - link.lstat().st_mtime > _LINK_SECONDS:
            remove(link)
            removed.append(link)
    return removed


def _remove_unless_locked(
    store: Store, folders: Sequence[Path], choose: Callable[[Path], list[Path]]
) -> list[Path]:
    removed = []
    for folder in folders:
        try:
            with store.lock(folder.parent.name, folder.stem, wait=False):
                for path in choose(folder):
                    remove(path)
                    removed.append(path)
        except LockedError:
            say(f"{folder}: in use, left alone")
    return removed


def listing(store: Store, paths: Sequence[Path], counts: Counter[Path]) -> Table:
    """Artifacts and workspaces with size, age and the number of runs that refer to them."""
    table = Table()
    for title in ("step", "key", "made"):
        table.add_column(title, no_wrap=True)
    for title in ("took", "MiB", "runs"):
        table.add_column(title, no_wrap=True, justify="right")
    total = 0
    for path in paths:
        step, took = path.parent.name, "interrupted"
        if not path.suffix:
            try:
                manifest = read_manifest(path)
                step = f"{manifest['step']} {manifest['label']}"
                took = seconds_text(manifest["seconds"])
            except BrokenArtifactError:
                took = "broken"
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        total += size
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        runs = str(counts[path.with_suffix("")])
        table.add_row(step, path.stem[:12], made, took, f"{size / 2**20:.1f}", runs)
    table.add_section()
    table.add_row(f"{len(paths)} in all", "", "", "", f"{total / 2**20:.1f}", "")
    return table


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.store",
        description="Without an option: lists the artifacts, and what interrupted runs left.",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--verify", action="store_true", help="read and check every file again")
    action.add_argument(
        "--prune", action="store_true", help="remove what no run folder refers to; asks first"
    )
    action.add_argument("--clean-tmp", action="store_true", help="remove what no run can use")
    parser.add_argument("--yes", action="store_true", help="with --prune: do not ask")
    parser.add_argument("overrides", nargs="*", help="as for a run, such as paths.outputs=/data")
    options = parser.parse_intermixed_args(arguments)
    try:
        config = compose_config(options.overrides)
        outputs, store = Path(config.paths.outputs), Store(config.paths.store)
        if options.verify:
            return verify(store)
        if options.prune:
            return _prune(store, outputs, options.yes)
        if options.clean_tmp:
            removed = clean(store, outputs)
            for path in [*removed, f"{len(removed)} leftovers removed"]:
                say(str(path))
            return 0
        paths = [*store.folders(), *store.workspaces()]
        show_table(listing(store, paths, references(store, outputs)))
    except (ValueError, OSError) as error:
        say(f"error: {error}")
        return 1
    return 0


def verify(store: Store) -> int:
    """Reads every file of every artifact again; 1 where one is broken."""
    broken = 0
    folders = store.folders()
    with progress_bar("verify") as progress:
        for done, folder in enumerate(folders, start=1):
            try:
                store.check(folder, read_manifest(folder), reread=True)
            except BrokenArtifactError as error:
                say(str(error))
                broken += 1
            progress(done, len(folders))
    say(f"{len(folders)} artifacts were read again, {broken} are broken")
    if broken:
        say("a run that needs a broken one makes it again")
    return int(broken > 0)


def _prune(store: Store, outputs: Path, yes: bool) -> int:
    chosen = unreferenced(store, outputs)
    if not chosen:
        say("a run folder refers to every artifact: nothing to prune")
        return 0
    show_table(listing(store, chosen, Counter()))
    if not yes:
        try:
            answer = input("no run folder refers to these; remove them? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            say("nothing removed")
            return 1
    say(f"{len(prune(store, outputs, chosen))} of {len(chosen)} removed")
    return 0
