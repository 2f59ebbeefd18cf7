"""Trainyard's reference trainer: scikit-learn models on tabular data.

It honours the contract in docs/trainer-contract.md and shows, with every part of it in use, what a
container has to do to be a trainer.
"""
