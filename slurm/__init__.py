"""Notes on sites, and a private SLURM to try things on."""
