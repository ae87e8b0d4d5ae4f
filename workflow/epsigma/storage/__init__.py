"""Files: written whole, with checksums and provenance."""
