"""Pages for people: how the model does, why, and the few buttons that matter."""
