"""Follows a packed sample, or any item, back to its source files, stage by stage; run with ``-m``."""
