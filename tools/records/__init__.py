"""What runs and stages left on disk, read as it is: also torn, half written, or of another version."""
