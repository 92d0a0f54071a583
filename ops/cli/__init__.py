"""The faces of `amplitude-bridge`: arguments in, tables or JSON out."""
