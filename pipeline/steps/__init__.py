"""The steps of a run: what is done, one file for each part of the work."""
