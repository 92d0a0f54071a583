"""Our speed beside rivals: one command, `make bench`, one table."""
