"""One run from configuration to report."""

from pathlib import Path

from pipeline.budget import budget_table
from pipeline.config import PipelineConfig
from pipeline.history import append_run
from pipeline.plan import plan_run
from pipeline.progress import say
from pipeline.runner import finish_run, obtain_all, record_plan, start_run
from pipeline.stages.report import write_report
from pipeline.stages.report_content import Made
from pipeline.store import Store


def store_folder(config: PipelineConfig) -> Path:
    return Path(config.paths.outputs) / "store"


def run_pipeline(config: PipelineConfig, folder: Path) -> None:
    """Runs every stage that is not in the store yet and writes the run folder.

    Raises
    ------
    pipeline.runner.StageFailedError
        Where a stage could not do its work. What was finished before it stays in the store.
    """
    start_run(config, folder)
    store = Store(store_folder(config))
    try:
        plan = plan_run(config, store.digests)
        record_plan(plan.order, folder)
        outcomes = obtain_all(plan.order, store, config)
        write_report(
            config,
            {each.stage.title: Made(each.stage.key, each.hit, each.artifact) for each in outcomes},
            folder,
        )
        finish_run(config, folder, outcomes)
        append_run(config, folder)
    finally:
        store.digests.close()
    made = sum(not outcome.hit for outcome in outcomes)
    say(f"{made} of {len(outcomes)} stages were run, the others were in the store")
    stale = [outcome.stage.title for outcome in outcomes if outcome.stale_code]
    if stale:
        say(f"made by other code, and found in the store: {', '.join(stale)}; see make status")
    took = {each.stage.title: each.artifact.manifest["seconds"] for each in outcomes}
    table = budget_table(config.name, took)
    say(f"when they were made they took\n{table.to_string(index=False, float_format='%.1f')}")
    say(f"tables: {folder / 'tables'}")
    say(f"report: {folder / 'report.html'}")
