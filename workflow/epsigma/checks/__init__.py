"""Checks: functions of the `Evidence` that yield a `Verdict` of each thing that they looked at.

`epsigma.registry.checks` lists them.
"""
