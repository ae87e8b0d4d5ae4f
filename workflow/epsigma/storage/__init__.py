"""Files: written whole, with checksums and provenance.

All readers raise ValueError for a damaged file; the message names it and the remedy.
"""
