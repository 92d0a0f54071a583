"""Text and bytes of strangers, made visible: nothing in them steers a terminal or hides on a page."""

import unicodedata

import msgspec


def printable(text: str, keep: str = "") -> str:
    r"""The text with all that is not a visible character escaped as `\x1b`; characters to `keep` stay."""
    if text.isprintable():
        return text
    visible = (c.isprintable() or c in keep or unicodedata.category(c) == "Zs" for c in text)
    return "".join(c if ok else c.encode("unicode_escape").decode() for c, ok in zip(text, visible, strict=True))


def pretty(payload: bytes) -> str:
    """A payload to read: JSON indented, every token as it was sent; other text and bytes escaped."""
    try:
        payload.decode()
        # not `json`: a second key or 434735.0 is what support looks for, and would not survive it
        text = msgspec.json.format(payload, indent=2).decode()
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        text = payload.decode(errors="backslashreplace")
    return printable(text, keep="\n")
