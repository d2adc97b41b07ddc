"""Settings of the whole suite; no test reaches beyond this machine."""

import os
import random

import pytest
from hypothesis import HealthCheck, settings

from tests.offline import sitecustomize  # which closes the network

# In what tests start, too: Python imports it there by itself.
_OFFLINE = os.path.dirname(sitecustomize.__file__)
os.environ["PYTHONPATH"] = os.pathsep.join(
    [_OFFLINE, *filter(None, [os.environ.get("PYTHONPATH")])]
)

# How fast a machine draws examples says nothing about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shuffle", type=int, metavar="SEED", help="files, and the tests of each, in random order"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if (seed := config.getoption("--shuffle")) is None:
        return
    chance = random.Random(seed)
    order = {item.nodeid: chance.random() for item in items}
    files = {item.path: chance.random() for item in items}  # together, for what they share
    items.sort(key=lambda item: (files[item.path], order[item.nodeid]))
