"""The explorer: what its page is told of a study."""
