"""Where the pieces of a stage's work are done: this process, others, a Slurm or a Ray cluster."""
