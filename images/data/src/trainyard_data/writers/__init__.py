"""How datasets are written: one module a format. What is written is what the reader of that format takes."""
