"""Clients of Amplitude's APIs. `http.py` has what they share: the keys of a project, when to ask again, errors."""

from stores.amplitude.uploads import HOSTS, Response, Uploads

__all__ = ["HOSTS", "Response", "Uploads"]
