"""One run from configuration to report."""

from contextlib import closing
from pathlib import Path

from pipeline.config import PipelineConfig
from pipeline.history import append_run
from pipeline.plan import plan_run
from pipeline.progress import say
from pipeline.report_results import Made, seconds_by_step
from pipeline.run_folder import write_report
from pipeline.runner import finish_run, obtain_all, record_plan, start_run
from pipeline.store import Store


def run_pipeline(config: PipelineConfig, folder: Path) -> None:
    """Runs every step that is not in the store yet and writes the run folder.

    Raises
    ------
    pipeline.runner.StepFailedError
        Where a step could not do its work. What was finished before it stays in the store.
    """
    start_run(config, folder)
    store = Store(config.paths.store)
    with closing(store.digests):
        plan = plan_run(config, store.digests)
        record_plan(plan.order, folder)
        outcomes = obtain_all(plan.order, store, config)
        made = {each.step.title: Made(each.step.key, each.hit, each.artifact) for each in outcomes}
        write_report(config, made, folder)
        finish_run(config, folder, outcomes)
        append_run(config, folder)
    count = sum(not outcome.hit for outcome in outcomes)
    say(f"{count} of {len(outcomes)} steps were run, the others were in the store")
    stale = [outcome.step.title for outcome in outcomes if outcome.stale_code]
    if stale:
        say(f"made by other code, and found in the store: {', '.join(stale)}; see make status")
    seconds = seconds_by_step(made).to_string(index=False, float_format="%.1f")
    say(f"when they were made they took\n{seconds}")
    say(f"tables: {folder / 'tables'}")
    say(f"report: {folder / 'report.html'}")
