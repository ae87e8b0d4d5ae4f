"""What a configuration may name, a file a section."""
