"""Settings of the whole suite."""

from hypothesis import HealthCheck, settings

# How fast a machine draws examples says nothing about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
