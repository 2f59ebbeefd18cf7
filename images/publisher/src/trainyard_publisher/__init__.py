"""The publisher: it puts versions of a model where they are looked for outside, and takes them away again."""
