"""``python -m pipeline [experiment=...] [key=value ...] [-m]``: run the whole pipeline."""

import logging
import sys
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pipeline.conf_files import ConfFileError
from pipeline.config import CONF, register, to_dataclass
from pipeline.interrupts import stop_on_signals
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
            console.print(f"the full account is in {folder / 'pipeline.log'}")
        sys.exit(1)


def start() -> None:
    """What the command does; a file that adds a method or metric of its own ends with it."""
    try:
        register()
    except ConfFileError as error:
        say(f"error: {error}")
        sys.exit(1)
    stop_on_signals()
    main()


if __name__ == "__main__":
    start()
