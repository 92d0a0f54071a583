"""What ends a program in one line: the base of every error that a person, not a programmer, has to mend."""


class OneLineError(Exception):
    """Something is not as it must be; the message is one line that says what, where and what to do."""
