"""One file per stage: what it needs, what its key holds, and the thin call into a wing."""
