"""Stops what is alive of a run: cluster jobs, or a process on this machine; run with ``-m``."""
