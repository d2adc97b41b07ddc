"""``python -m pipeline [experiment=...] [key=value ...] [-m]``: run the whole pipeline."""

import logging
import os
import sys
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pipeline.config import CONF, SETTINGS, register, spelled_out, to_dataclass
from pipeline.interrupts import stop_on_signals
from pipeline.overrides import check_overrides, in_one_line
from pipeline.progress import console, log, say
from pipeline.run import run_pipeline


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def main(composed: DictConfig) -> None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        run_pipeline(to_dataclass(composed, HydraConfig.get().overrides.task), folder)
    except Exception as error:
        say(f"error: {error}")
        if logging.getLogger("pipeline").handlers:
            log.error(traceback.format_exc())
            hint = f"the full account is in {folder / 'pipeline.log'}"
            console.print(hint, markup=False, soft_wrap=True)
        sys.exit(1)


def start() -> None:
    """The command itself; a file that adds a method or metric of its own calls it too."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # it raises errors instead of printing pages of them
    sys.argv[1:] = spelled_out(sys.argv[1:])
    overrides = [each for each in sys.argv[1:] if "=" in each and not each.startswith("-")]
    try:
        register()
        check_overrides(overrides, SETTINGS, sweep=bool({"-m", "--multirun"} & {*sys.argv}))
        stop_on_signals()
        with in_one_line(SETTINGS):
            main()
    except (ValueError, OSError) as error:
        say(f"error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    start()
