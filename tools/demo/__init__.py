"""The demonstration: a small sample in the publishers' layouts, and the whole pipeline over it."""
