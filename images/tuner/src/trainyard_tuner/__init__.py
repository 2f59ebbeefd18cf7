"""Trainyard's tuner image: proposes the next trials of a Bayesian search.

It shares no code with the operator, which never imports Optuna: an order goes in, points come out.
"""
