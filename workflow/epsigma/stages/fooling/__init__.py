"""Stages of fooling images, which are of no test image and count by their confidence.

One module a stage: what makes them depends on no code that only shows or measures them.
"""
