"""Continual learning for PyTorch: a learner is a fold over its stream."""
