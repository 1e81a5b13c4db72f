"""Command-line readers of what the pipeline wrote."""
