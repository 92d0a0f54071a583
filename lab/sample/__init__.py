"""The sample whose right answer is known, its kinds, and how it is fed."""
