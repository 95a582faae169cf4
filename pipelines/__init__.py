"""One module a command, and the packages of what commands share."""
