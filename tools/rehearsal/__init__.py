"""The rehearsal: everything once on this machine, once on a private SLURM under kills, then compared byte for byte."""
