"""Looks at the publishers' folders before any work: what is there, what is missing, what would become of it."""
