"""Ways to train, a file each."""
