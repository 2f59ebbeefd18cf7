"""The actions on datasets: validate, analyze, convert, augment and split, by the contract with a trainer.

docs/trainer-contract.md is what they honour, docs/dataset-actions.md what they do. `running` is where they begin.
"""
