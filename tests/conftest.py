"""The suite runs with the allocator setting of the pipeline's own processes."""

from hypothesis import HealthCheck, settings

from pipeline.allocator import keep_freed_memory

keep_freed_memory()
# How fast a machine draws examples says nothing about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
