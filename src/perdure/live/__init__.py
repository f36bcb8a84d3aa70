"""The live loop: a model that keeps learning in production, and never loses anything."""
