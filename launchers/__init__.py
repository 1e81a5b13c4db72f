"""From a command to running work: compose, plan, submit, run, look."""
