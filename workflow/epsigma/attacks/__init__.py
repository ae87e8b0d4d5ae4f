"""Attacks, a file each."""
