"""Attacks, a file each: functions of a model, images and labels, and of hyper-parameters.

What they share is described here alone:

    model: from images to logits, in eval mode; its parameters are best frozen.
    images: (N, C, H, W) float in [0, 1]; not modified.
    labels: (N,) int64, the true classes.
    on_step: called at each step with the losses (M,) of the rows that are still worked on.
    on_part: called at the end of each attack of an ensemble with its name and the places (M,) of
        the examples that it fooled.
    progress: what an ensemble keeps its state in, and goes on from in its next attempt; or None.
    generator: draws what is random; torch's global one if None.

They return images (N, C, H, W) in [0, 1], and raise ValueError for arguments out of range.
"""
