"""Answers: plain functions from stores and a question to a frozen value. They know no screen."""
