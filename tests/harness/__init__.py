"""Clusters to develop and test on: real API servers, made from nothing but package registries where need be.

Separate from the tests because `make cluster`, the bench and the demo use it as well
(`python -m tests.harness`).
"""
