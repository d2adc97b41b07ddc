"""The suite runs with the allocator setting of the pipeline's own processes."""

from pipeline.allocator import keep_freed_memory

keep_freed_memory()
