"""One module a command: its options, its wiring and what it prints."""
