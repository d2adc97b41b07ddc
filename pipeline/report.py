"""``python -m pipeline.report [RUN] [report.<key>=<value> ...]``: a finished run's report anew.

Nothing is computed: tables, figures and films come from the store. Only ``report.embed_images`` and
``report.max_images`` can be changed, for figures are drawn already.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from data.config import user_path
from evaluation.config import ReportConfig
from pipeline.config import SETTINGS, open_schema, section
from pipeline.config_checks import field_problems
from pipeline.finished_run import FinishedRun, RunError
from pipeline.overrides import in_one_line
from pipeline.progress import say
from pipeline.report_results import Made
from pipeline.run_folder import write_report

_KEYS = ("report.embed_images", "report.max_images")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.report", description=__doc__)
    parser.add_argument("run", nargs="?", default="outputs/latest", help="a run's folder")
    parser.add_argument("overrides", nargs="*", help=f"{', '.join(_KEYS)}, each with =<value>")
    options = parser.parse_args(arguments)
    overrides = options.overrides
    if options.run.startswith("report."):
        overrides, options.run = [options.run, *overrides], "outputs/latest"
    try:
        say(f"report: {render(user_path(options.run), overrides)}")
    except (ValueError, OSError) as error:
        say(f"error: {error}")
        return 1
    return 0


def render(folder: Path, overrides: Sequence[str]) -> Path:
    """Writes the report into the run's ``folder`` and returns its path.

    Raises RunError for a folder without a finished run, a result that the store has lost, or an
    override that is none of ``report``'s.
    """
    run = FinishedRun.read(folder)
    config = replace(run.config, report=_overridden(run.config.report, overrides))
    made = {
        title: Made(run.steps[title]["key"], run.steps[title]["hit"], artifact)
        for title, artifact in run.artifacts(run.steps).items()
    }
    return write_report(config, made, folder)


def _overridden(report: ReportConfig, overrides: Sequence[str]) -> ReportConfig:
    for override in overrides:
        if override.partition("=")[0] not in _KEYS:
            raise RunError(f"{override}: only {' and '.join(_KEYS)} can be given here")
    with in_one_line(SETTINGS):
        given = OmegaConf.create()
        for read in OverridesParser.create().parse_overrides(list(overrides)):
            if read.is_sweep_override():
                raise RunError(f"{read.input_line}: one value, not several")
            OmegaConf.update(given, read.key_or_group, read.value())
        merged = OmegaConf.merge(open_schema(), {"report": section(report)}, given)
        overridden = cast(ReportConfig, OmegaConf.to_object(merged.report))
    for key, problem in field_problems(overridden, "report."):
        raise RunError(f"{key}: {problem}")
    return overridden


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
