"""Pages, a blueprint a file."""
