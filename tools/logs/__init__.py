"""Shows the log and traceback of an item, a task or an array element; run with ``-m``."""
