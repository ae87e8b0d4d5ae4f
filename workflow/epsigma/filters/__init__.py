"""Filters, a file each."""
