"""The demo: a service on loopback that lives through new classes, drift, poison and an erasure."""
