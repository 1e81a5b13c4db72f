"""SLURM: what the site has, what a job asks for, how it is submitted, and what became of it. No stage is known here."""
