"""The front door: configuration, stages, store, runs."""
