"""render: the phantom films, in the official NIH layout."""

from data.config import PhantomConfig
from pipeline.config import PipelineConfig, available_cores, section
from pipeline.graph import Stage, Task


def stage(config: PipelineConfig) -> Stage:
    return Stage(
        name="render",
        version=1,
        settings=section(config.dataset.phantom),
        inputs={},
        run=run,
        sources=("data/phantom", "data/config.py"),
    )


def run(task: Task) -> None:
    from data.phantom.nih_layout import render_nih

    phantom: PhantomConfig = task.config.dataset.phantom
    render_nih(phantom, task.folder, workers=available_cores(), progress=task.progress)
