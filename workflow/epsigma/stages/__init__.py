"""The stages of the workflow, one module a stage, each called by the rules of the same name."""
