"""render, index, pack of films with zone scores: BrixIA's, phantoms in its layout, Cohen's."""

from data.config import ScoredFilms, TestFilms
from data.integrity import resolve_inside
from pipeline.config import PipelineConfig, available_cores, section
from pipeline.graph import RawFolder, Stage, Task
from pipeline.keys import file_sha256
from pipeline.stages.index import record_index
from pipeline.stages.pack import IMAGE_READERS, pack_films

_READERS = (
    *("data/dicom.py", "data/dicom_geometry.py", "data/dicom_pixels.py", "data/greyscale.py"),
    *("data/isolated_decoding.py", *IMAGE_READERS),
)


def dataset_name(config: PipelineConfig) -> str:
    """What tables call the films that are measured: a phantom is never called BrixIA alone."""
    if config.brixia.test is TestFilms.cohen:
        return "cohen"
    return "brixia_phantoms" if config.brixia.source is ScoredFilms.phantoms else "brixia"


def render_stage(config: PipelineConfig) -> Stage:
    return Stage(
        name="render",
        version=1,
        settings={"layout": "brixia", **section(config.brixia.phantom)},
        inputs={},
        run=_render,
        sources=("data/phantom", "data/config.py"),
        variant="brixia",
    )


def _render(task: Task) -> None:
    from data.phantom.brixia_layout import render_brixia

    render_brixia(
        task.config.brixia.phantom, task.folder, workers=available_cores(), progress=task.progress
    )


def index_stage(config: PipelineConfig, films: Stage | RawFolder, which: TestFilms) -> Stage:
    """``which``: the films of ``brixia.source`` (own), or Cohen's, all of them in the test fold."""
    cohen, split_file = which is TestFilms.cohen, config.brixia.films.split_file
    settings = (
        {"reader": config.brixia.cohen_reader.value} if cohen else section(config.brixia.films)
    )
    raw = {}
    if split_file and isinstance(films, RawFolder) and not cohen:
        path = resolve_inside(films.folder, split_file)
        raw = {"split_file": file_sha256(path)} if path.is_file() else {}
    return Stage(
        name="index",
        version=3,
        settings={"layout": "cohen" if cohen else "brixia", **settings},
        inputs={"films": films},
        run=lambda task: _index(task, which),
        sources=("data/brixia.py", "data/brixia_score.py", "data/cohen.py", *_READERS),
        variant="cohen" if cohen else "brixia",
        raw=raw,
    )


def _index(task: Task, which: TestFilms) -> None:
    from data.brixia import read_brixia
    from data.cohen import read_cohen

    brixia, root = task.config.brixia, task.inputs["films"]
    cohen = which is TestFilms.cohen
    index = read_cohen(root, brixia.cohen_reader) if cohen else read_brixia(root, brixia.films)
    record_index(task, index)


def pack_stage(
    config: PipelineConfig, films: Stage | RawFolder, index: Stage, which: TestFilms, side: int
) -> Stage:
    cohen = which is TestFilms.cohen
    scaling = {} if cohen else {"scaling": config.brixia.films.scaling.value}
    return Stage(
        name="pack",
        version=2,
        settings={
            "layout": "cohen" if cohen else "brixia",
            "side": side,
            "shard": config.dataset.pack_shard,
            **scaling,
        },
        inputs={"films": films, "index": index},
        run=lambda task: _pack(task, which, side),
        sources=("data/packing.py", "data/brixia.py", "data/cohen.py", *_READERS),
        variant=f"{'cohen' if cohen else 'brixia'} {side} px",
    )


def _pack(task: Task, which: TestFilms, side: int) -> None:
    from data.brixia import square_reader
    from data.cohen import read_square

    scaling = task.config.brixia.films.scaling
    reader = read_square if which is TestFilms.cohen else square_reader(scaling)
    pack_films(task, side, reader)
