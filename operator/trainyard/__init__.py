"""Trainyard: a Kubernetes operator for model training."""

__version__ = "0.1.0"
