"""The export job: `graph` is the picture, each stage's queries are in the file of its name, `submit` starts it."""
