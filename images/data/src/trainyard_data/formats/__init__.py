"""How datasets are laid out: one module a format, each with a reader that streams and tells what is wrong.

A reader takes a Tree and Findings and yields what it has read, with the file and the line that say it. What is wrong
with one annotation is added to the findings and left out; the reader goes on with the next.
"""
