"""Shows one item of a source as the stages see it, beside the publisher's records. Always run with ``-m``."""
