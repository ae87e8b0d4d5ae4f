"""The challenge: a folder made of a study, in which others score filters and adversarial sets.

docs/challenge.md says how. It drives the stages of a study without Snakemake.
"""
