"""Autoencoders, a file each."""
