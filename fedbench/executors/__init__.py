"""Executors: where the cells of a grid run."""
