"""Models, a file each: modules of `shape`, (C, H, W) of an image, `classes`, hyper-parameters."""
