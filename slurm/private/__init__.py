"""A real SLURM on one machine, for tests and for trying settings: virtual nodes, GPUs that are names only."""
