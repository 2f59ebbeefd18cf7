"""The one error that is told to the operator, in a module of its own so that it costs no import of numpy."""


class OrderError(ValueError):
    """An order that cannot be carried out; the text is the rest of a sentence whose subject is the order."""
