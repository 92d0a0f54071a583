"""What else does this work on one machine: each rival written as its own documentation recommends."""
