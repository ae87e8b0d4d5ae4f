"""Filters, a file each: modules on images (N, C, H, W); ValueError for parameters out of range."""
