"""Turn egocentric video into training samples for streaming video assistants."""

__version__ = "0.1.0"
