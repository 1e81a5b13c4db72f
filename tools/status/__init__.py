"""How every output folder and every started job stands: a reader of files, ``squeue`` and ``sacct``."""
