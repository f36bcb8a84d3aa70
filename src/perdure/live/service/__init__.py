"""The HTTP service: predictions, examples and labels in, versions managed, metrics out."""
