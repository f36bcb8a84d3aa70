"""What `perdure init` writes into a new project; each model is a module of its own, read and copied
as it stands.
"""
