"""Which scenario a problem is, what fits it, what cannot work and why."""
