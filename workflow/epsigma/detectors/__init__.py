"""Detectors, a file each; they raise ValueError for parameters out of range."""
