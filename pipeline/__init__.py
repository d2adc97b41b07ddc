"""The front door: configuration, steps, store, runs."""
