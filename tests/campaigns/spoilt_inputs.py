"""``python -m tests.campaigns.torture --campaign inputs``: spoilt files, each read under guard.

COUNT files of every format that the project reads, spoilt by ``mutations.py``, are read in a
process of its own. What may come of a file: it is read, with its problems listed; or it is refused
by an error of the reader's own kind that names it. Everything else is a fault: another error, one
that names nothing, more than 10 s of the processor or 2 GB, a minute of waiting, the end of the
process. Exit code 1 for any.
"""

import contextlib
import io
import multiprocessing
import os
import random
import re
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from PIL import Image
from pydicom import uid
from yaml import YAMLError

from attribution.statistics import FeatureStatistics
from data import brixia
from data.brixia import FOLDS, read_brixia
from data.chestxdet import FILES, read_chestxdet
from data.cohen import read_cohen
from data.config import BrixiaConfig, DatasetConfig
from data.integrity import DataError, resolve_inside
from data.nih import FINDINGS, read_nih
from data.packing import PackedFilms, read_square
from models.checkpoints import load_checkpoint, save_checkpoint
from models.densenet import DenseNet121
from models.foreign_weights import CheckpointError, read_pickled
from pipeline import config
from pipeline.finished_run import FinishedRun, RunError
from pipeline.runner import RECORD, run_record
from pipeline.store import MANIFEST, BrokenArtifactError, Store, write_json
from tests.campaigns import mutations
from tests.campaigns.bombs import BOMBS
from tests.data import dicom_films, test_brixia, test_chestxdet, test_cohen, test_nih
from tests.packing import pack

SECONDS, BYTES = 10.0, 2 * 10**9  # of the processor, so that a busy machine makes no faults
HANGS = 300.0  # seconds on the wall
BLOCKED, WORKED = 60.0, 1.0  # more seconds on the wall, less of the processor: it waits for others
ADDRESS_SPACE = 16 * 10**9  # bytes: what ends a process before it takes the machine's memory
NAMED_SETTING = re.compile(r"^[a-z_.]+: |full_key: \w")  # ours, once all files are one; OmegaConf's
SIDE = 16  # px that films are read to


class Kind(NamedTuple):
    """A format: how a sound folder is written, which file is spoilt, how it is read."""

    write: Callable[[Path], Path]  # returns the file that is spoilt
    read: Callable[[Path], Any]  # of that file
    refusals: tuple[type[Exception], ...]
    mutators: tuple[mutations.Mutator, ...]
    share: int = 4  # of the count; 0 for a bomb, which is read as it is


class Outcome(NamedTuple):
    """``what`` is read, listed, refused, or a fault, which ``detail`` then describes."""

    what: str
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        return self.what not in ("read", "listed", "refused")


subject: tuple[Kind, Path, bytes]  # of a reading process: the file that is spoilt, and it sound


@dataclass
class Guarded:
    """What became of a file, the processor's seconds it took, and the process's peak in bytes."""

    outcome: Outcome
    seconds: float
    peak: int


def picture(name: str, mode: str, **options: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        shades = np.random.default_rng(0).integers(0, 256, (40, 36), dtype=np.uint8)
        image = Image.fromarray(shades)
        if mode == "I;16":
            image = Image.fromarray(shades.astype(np.uint16) * 257)
        elif mode == "P":
            image = image.convert("RGB").quantize(16)
        else:
            image = image.convert(mode)
        image.save(folder / name, **options)
        return folder / name

    return write


def film(syntax: uid.UID, bits: int = 12) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        pixels = np.random.default_rng(0).integers(0, 2**bits, (40, 36))
        made = dicom_films.dicom(pixels.astype(np.uint8 if bits == 8 else np.uint16), bits)
        path = folder / "film.dcm"
        if syntax == uid.JPEGBaseline8Bit:
            stream = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG")
            return dicom_films.encapsulated(path, made, syntax, stream.getvalue())
        if syntax.is_compressed:
            return dicom_films.compress(path, made, syntax)
        return dicom_films.write(path, made)

    return write


def layout(write: Callable[[Path], Path], name: str) -> Callable[[Path], Path]:
    return lambda folder: write(folder) / name


def read_index(read: Callable[..., Any], *settings: Any) -> Callable[[Path], Any]:
    def index(path: Path) -> Any:
        found = read(path.parent, *settings)
        for name in found.images["path"]:
            assert resolve_inside(path.parent, name).is_file()
        assert found.images["image"].is_unique
        for table in (found.images, found.problems):  # as the steps write and read them
            again = pd.read_csv(io.StringIO(table.to_csv(index=False)), dtype=str)
            assert len(again) == len(table)
        return found

    return index


def write_packed(folder: Path, name: str) -> Path:
    index = read_nih(test_nih.Layout().write(folder / "nih"), DatasetConfig())
    pack(index.images[["image", "path"]], folder / "nih", folder / "packed", SIDE)
    return folder / "packed" / name


def read_packed(path: Path) -> Any:
    films = PackedFilms(path.parent)
    return films.load(films.table["image"].tolist())


def write_split(folder: Path) -> Path:
    test_brixia.Layout().write(folder)
    rows = [f"{name},{fold}" for name, fold in zip(test_brixia.NAMES, FOLDS * 2, strict=True)]
    path = folder / "split.csv"
    path.write_text("\n".join(["Image Index,fold", *rows, ""]))
    return path


def write_statistics(folder: Path) -> Path:
    part = torch.ones(2, 3, 3)
    path = folder / "statistics.safetensors"
    FeatureStatistics("block3", part, part + 1, part + 2, 4).save(path)
    return path


def write_checkpoint(folder: Path, suffix: str) -> Path:
    path = folder / "model.safetensors"
    save_checkpoint(path, DenseNet121(2), ["Mass", "Nodule"], {"side": 64})
    return path.with_suffix(suffix)


def read_checkpoint(path: Path) -> Any:
    return load_checkpoint(path.with_suffix(".safetensors"))


def write_foreign(folder: Path) -> Path:
    path = folder / "model.pt"
    torch.save({"state_dict": {"a.weight": torch.ones(4, 3), "a.bias": torch.ones(4)}}, path)
    return path


def read_bomb(path: Path) -> Any:
    if path.suffix == ".pt":
        return read_pickled(path)
    read = brixia.read_square if path.suffix == ".dcm" else read_square
    return read(path, SIDE)


def write_artifact(folder: Path) -> Path:
    store = Store(folder / "store")
    workspace = store.workspace("step", "a" * 64)
    (workspace / "rows.csv").write_text("row\n1\n")
    told = {"key_parts": {"settings": {"seed": 0}}, "label": "", "code": "c", "notes": ["one"]}
    made = store.publish("step", "a" * 64, {**told, "seconds": 1.0, "provenance": {"git": {}}})
    store.digests.close()
    return made.folder / MANIFEST


def read_artifact(path: Path) -> Any:
    store = Store(path.parents[2])
    try:
        found = store.find("step", "a" * 64)
        assert found is not None
        told = found.manifest
        return "; ".join(told["notes"]), round(told["seconds"]), told["code"], told["label"]
    finally:
        store.digests.close()


def write_run(folder: Path) -> Path:
    manifest = write_artifact(folder)
    record = run_record(config.PipelineConfig(), [])
    record["steps"] = {"step": {"step": manifest.parts[-3], "key": "a" * 64, "hit": True}}
    (folder / "run").mkdir()
    write_json(folder / "run" / RECORD, record)
    return folder / "run" / RECORD


def read_run(path: Path) -> Any:
    run = FinishedRun.read(path.parent)
    return [run.artifact(title) for title in run.steps]


def write_conf(folder: Path) -> Path:
    shutil.copytree(config.CONF, folder / "conf")
    path = folder / "conf" / "local" / "default.yaml"
    path.write_text(
        "# @package _global_\nseed: 3\npaths:\n  outputs: elsewhere\nattribution:\n"
        "  methods: [iba, random]\n  iba:\n    beta: 20\n"
    )
    return path


def read_conf(path: Path) -> Any:
    config.CONF = path.parents[1]
    return config.compose_config([])


def kinds() -> dict[str, Kind]:
    data, table = (DataError,), (mutations.spoil_table,)
    blob = (mutations.spoil_bytes, mutations.spoil_header)
    of_config = (ValueError, HydraException, OmegaConfBaseException, YAMLError)  # Hydra's, and ours
    of_nih, of_brixia = test_nih.Layout().write, test_brixia.Layout().write
    read_them = read_index(read_nih, DatasetConfig())
    return {
        **{
            f"PNG {mode}": Kind(
                picture("film.png", mode),
                lambda p: read_square(p, SIDE),
                data,
                (*blob, mutations.spoil_png, mutations.spoil_png),
            )
            for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
        },
        **{
            f"JPEG {name}": Kind(
                picture("film.jpg", mode, progressive=progressive),
                lambda p: read_square(p, SIDE),
                data,
                blob,
                share=7,
            )
            for name, mode, progressive in (
                ("L", "L", False),
                ("progressive", "RGB", True),
                ("CMYK", "CMYK", False),
            )
        },
        **{
            f"DICOM {syntax.name}": Kind(
                film(syntax, bits), lambda p: brixia.read_square(p, SIDE), data, blob, n
            )
            for syntax, bits, n in (
                (uid.ExplicitVRLittleEndian, 12, 8),
                (uid.ImplicitVRLittleEndian, 12, 3),
                (uid.ExplicitVRBigEndian, 12, 3),
                (uid.RLELossless, 12, 5),
                (uid.JPEG2000Lossless, 12, 5),
                (uid.JPEGLSLossless, 12, 5),
                (uid.JPEGBaseline8Bit, 8, 5),
                (uid.JPEGLosslessSV1, 12, 1),
            )
        },
        "NIH labels": Kind(layout(of_nih, "Data_Entry_2017_v2020.csv"), read_them, data, table, 8),
        "NIH boxes": Kind(layout(of_nih, "BBox_List_2017.csv"), read_them, data, table, 8),
        "NIH list": Kind(layout(of_nih, "test_list.txt"), read_them, data, table),
        "BrixIA": Kind(
            layout(of_brixia, "metadata_global_v2.csv"),
            read_index(read_brixia, BrixiaConfig()),
            data,
            table,
            8,
        ),
        "BrixIA split": Kind(
            write_split,
            read_index(read_brixia, BrixiaConfig(split_file="split.csv")),
            data,
            table,
        ),
        "Cohen": Kind(
            layout(test_cohen.write, "public-annotations.csv"),
            read_index(read_cohen),
            data,
            table,
            8,
        ),
        "ChestX-Det": Kind(
            layout(test_chestxdet.write, FILES["test"]),
            read_index(read_chestxdet, FINDINGS),
            data,
            (mutations.spoil_json, *blob),
            8,
        ),
        "packed index": Kind(partial(write_packed, name="films.csv"), read_packed, data, table),
        "packed films": Kind(
            partial(write_packed, name="films_00000.npy"), read_packed, data, blob
        ),
        "statistics": Kind(write_statistics, FeatureStatistics.load, (ValueError,), blob, 6),
        "checkpoint": Kind(
            partial(write_checkpoint, suffix=".safetensors"),
            read_checkpoint,
            (CheckpointError,),
            (mutations.spoil_header,),
            1,
        ),
        "checkpoint's labels": Kind(
            partial(write_checkpoint, suffix=".json"),
            read_checkpoint,
            (CheckpointError,),
            (mutations.spoil_json,),
            1,
        ),
        "pickled weights": Kind(write_foreign, read_pickled, (CheckpointError,), blob, 1),
        "manifest": Kind(
            write_artifact, read_artifact, (BrokenArtifactError,), (mutations.spoil_json,), 8
        ),
        "run.json": Kind(
            write_run, read_run, (RunError, BrokenArtifactError), (mutations.spoil_json,)
        ),
        **{
            name: Kind(
                write,
                read_bomb,
                (DataError, CheckpointError),
                (),
                0,
            )
            for name, write in BOMBS.items()
        },
        "YAML": Kind(write_conf, read_conf, of_config, (mutations.spoil_yaml,), 2),
    }


def spoilt(kind: Kind, name: str, seed: int, number: int, sound: bytes) -> bytes:
    """The same bytes for the same seed and number."""
    if not kind.mutators:
        return sound
    chance = random.Random(f"{seed}/{name}/{number}")
    return chance.choice(kind.mutators)(chance, sound)


def try_file(kind: Kind, path: Path) -> Outcome:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            found = kind.read(path)
    except kind.refusals as error:
        names = (path.name, path.stem, path.parent.name)  # of an artifact its folder
        of_setting = path.suffix == ".yaml" and NAMED_SETTING.search(str(error))
        if of_setting or any(name in str(error) for name in names):
            return Outcome("refused")
        return Outcome("names no file", f"{type(error).__name__}: {error}"[:300])
    except MemoryError:
        return Outcome("memory", "MemoryError")
    except BaseException as error:
        return Outcome("another error", f"{type(error).__name__}: {error}"[:300])
    problems = getattr(found, "problems", ())
    return Outcome("listed" if len(problems) else "read")


def peak_bytes() -> int:
    """The most memory that this process or one that it waited for has taken."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return 1024 * max(resource.getrusage(who).ru_maxrss for who in whose)


def begin(name: str, folder: Path) -> None:
    """In a new process: a sound file of a kind, which is read."""
    global subject
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    kind = kinds()[name]
    path = kind.write(folder)
    subject = kind, path, path.read_bytes()
    assert kind.share == 0 or kind.read(path) is not None


def read_spoilt(name: str, seed: int, number: int) -> Guarded:
    kind, path, sound = subject
    path.write_bytes(spoilt(kind, name, seed, number, sound))
    began, began_wall = sum(os.times()[:4]), time.monotonic()
    outcome = try_file(kind, path)
    seconds, wall = sum(os.times()[:4]) - began, time.monotonic() - began_wall
    guarded = Guarded(in_time(outcome, seconds, wall), seconds, peak_bytes())
    if guarded.peak > BYTES and not guarded.outcome.is_fault:
        guarded.outcome = Outcome("memory", f"{guarded.peak / 1e9:.1f} GB")
    return guarded


def in_time(outcome: Outcome, seconds: float, wall: float) -> Outcome:
    """``outcome``, or the fault that it came too late: seconds of the processor, on the wall."""
    if seconds > SECONDS:
        return Outcome("too long", f"{seconds:.0f} s, then {outcome.what}")
    if wall > BLOCKED and seconds < WORKED:
        return Outcome("blocked", f"{wall:.0f} s, then {outcome.what}")
    return outcome


def campaign(name: str, seed: int, count: int) -> list[Guarded]:
    """``count`` spoilt files of a kind, in processes that are replaced where one ends or hangs."""
    results: list[Guarded] = []
    context = multiprocessing.get_context("fork")  # so that nothing is imported again
    while len(results) < count:
        with tempfile.TemporaryDirectory(prefix="inputs-") as folder:
            pool = ProcessPoolExecutor(1, context, begin, (name, Path(folder)))
            try:
                for number in range(len(results), count):
                    results.append(pool.submit(read_spoilt, name, seed, number).result(HANGS))
                    if results[-1].peak > BYTES:
                        break
            except TimeoutError:
                results.append(Guarded(Outcome("hang"), HANGS, 0))
            except BrokenProcessPool:
                results.append(Guarded(Outcome("process ended"), 0, 0))
            for process in multiprocessing.active_children():
                process.kill()
            pool.shutdown()
    return results


def torture_inputs(count: int, seed: int, only: list[str]) -> int:
    """Runs every kind, prints a line of each, and returns 1 where there was a fault."""
    chosen = {name: kind for name, kind in kinds().items() if not only or name in only}
    shares = sum(kind.share for kind in chosen.values())
    total: Counter[str] = Counter()
    began, slowest, peak = time.monotonic(), 0.0, 0
    for name, kind in chosen.items():
        results = campaign(name, seed, max(1, -(-count * kind.share // (shares or 1))))
        counts = Counter(each.outcome.what for each in results)
        total.update(counts)
        slowest = max(slowest, *(each.seconds for each in results))
        peak = max(peak, *(each.peak for each in results))
        seconds, most = max(e.seconds for e in results), max(e.peak for e in results)
        print(
            f"{name}: {dict(counts)}, {seconds:.2f} s and {most / 1e9:.2f} GB at most", flush=True
        )
        seen = set()
        for number, each in enumerate(results):
            about = (each.outcome.what, each.outcome.detail[:60])
            if each.outcome.is_fault and about not in seen:
                seen.add(about)
                print(f"  file {number}: {each.outcome.what} {each.outcome.detail}", flush=True)
    faults = sum(number for what, number in total.items() if Outcome(what).is_fault)
    seconds = time.monotonic() - began
    print(
        f"{sum(total.values())} files, seed {seed}, {seconds:.0f} s: {dict(total)}."
        f" The slowest took {slowest:.1f} s, the most memory was {peak / 1e9:.2f} GB."
        f" Faults: {faults}."
    )
    return int(bool(faults))
