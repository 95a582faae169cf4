"""Benchmarks: extraction beside its peers and beside the limit of the machine. `make bench IMAGES=FOLDER` runs them."""
