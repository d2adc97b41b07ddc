"""Where the pieces of a step's work are done: this process, others, a Slurm or a Ray cluster."""
