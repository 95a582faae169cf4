"""Fuzzing: inputs that nobody would write, and what has to hold of each of them; `make fuzz`."""
