"""Commands that measure the project itself."""
