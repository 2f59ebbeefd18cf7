"""The search for good parameters: spaces, draws, brackets, and what a search does next.

Separate because it is arithmetic on the runs that there are: the operator, the bench and the command line ask the same
code, and none of it knows of Kubernetes, of files or of time.
"""
