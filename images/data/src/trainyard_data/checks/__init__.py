"""The checks: one module for each way in which data is laid out; `dispatch` says which one a dataset gets."""
