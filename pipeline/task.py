"""What a task is: models of one kind, their films, and what is explained and measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from attribution.config import Score
from data.cohorts import Cohort
from evaluation.config import Metric
from pipeline.config import PipelineConfig
from pipeline.step import Source, Step
from pipeline.steps.films import Index, Pack
from pipeline.steps.truth import PolygonTruth

FINDINGS, DETECTORS, SEVERITY = "findings", "detectors", "severity"
LESIONS, THREES = "lesions", "threes"  # films with several lesions, or several zones of score 3
REGION_METHODS = ("iba", "inverse_iba")  # paper, 2.1: which mark some regions, and all


@dataclass(frozen=True)
class Films:
    """Films as steps: the files, their index, and the films packed at the networks' side."""

    dataset: str  # name in tables; phantoms never have the name of real films
    source: Source
    index: Step
    pack: Step

    @property
    def phantoms(self) -> Step | None:
        """The step that rendered them, with their truth; None for real films."""
        return self.source if isinstance(self.source, Step) else None


@dataclass(frozen=True)
class Task:
    """Models of one kind, and what is explained and measured of them."""

    name: str
    learnt: Films
    test: Films
    labels: tuple[str, ...]  # of the outputs
    models: Mapping[str, Step]  # by loss
    primary: str  # whose maps are measured
    score: Score  # that maps explain
    samples: Step
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    classifies: bool = True
    compared: tuple[str, ...] = ()  # methods that explain the other models too
    priors: tuple[str, ...] = ()  # baselines that do not see the film, measured as methods are
    truth: Step | None = None  # masks to localize
    places: tuple[str, ...] | None = None  # of the truth, for metrics other than IoU; None: all
    in_bits: bool = False  # whether thresholds in bits/pixel are tried too (Table 1)
    causal: Step | None = None  # masks of what truly changes a phantom
    zones: Mapping[str, Step] | None = None  # of the test films, the paper's first
    trainings: Mapping[str, Step] = field(default_factory=dict)  # by name, for their curves
    models_of: str | None = None  # the task whose models these are; None: its own

    @property
    def outlines(self) -> Step | None:
        """Masks whose outlines pictures show: of what changes a phantom, or a reader's."""
        return self.truth if isinstance(self.truth, PolygonTruth) else self.causal


def on_several_regions(
    task: Task, name: str, samples: Step, truth: Step, causal: Step | None = None
) -> dict[str, Task]:
    """The task of that ``name``: the models of ``task`` on ``samples`` that show several regions.
    None where it has neither of the methods that are compared there."""
    methods = tuple(method for method in task.methods if method in REGION_METHODS)
    several = replace(
        task,
        name=name,
        samples=samples,
        methods=methods,
        metrics=(Metric.all_regions,),
        truth=truth,
        causal=causal,
        models_of=task.name,
    )
    return {name: several} if methods else {}


def films_of(
    config: PipelineConfig, name: str, dataset: str, source: Source, cohort: Cohort
) -> Films:
    index = Index(films=source, cohort=cohort, label=name)
    return Films(
        dataset, source, index, pack_of(config, source, index, cohort, config.dataset.side)
    )


def pack_of(config: PipelineConfig, source: Source, index: Step, cohort: Cohort, side: int) -> Step:
    return Pack(
        films=source,
        index=index,
        cohort=cohort,
        side=side,
        shard=config.dataset.pack_shard,
        threads=config.threads,
        label=index.label if side == config.dataset.side else f"{index.label} {side} px",
    )
