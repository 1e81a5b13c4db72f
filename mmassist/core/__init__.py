"""Types and rules every part shares. Standard library only; imports nothing from the rest of the project."""
