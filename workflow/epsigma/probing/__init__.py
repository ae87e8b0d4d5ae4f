"""Measurements beside the cells: of models, filters, attacks, spectra and costs."""
