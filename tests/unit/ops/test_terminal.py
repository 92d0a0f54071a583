"""What strangers have written, as a terminal shows it: readable, and harmless."""

from ops.answers.strangers import pretty, printable
from ops.cli.terminal import cell, span
from tests.cases import each


@each(
    ("payload", "shown"),
    [
        (b'{"a":1,"a":434735.0,"b":[]}', '{\n  "a": 1,\n  "a": 434735.0,\n  "b": []\n}'),
        ('{"제목":"밤 편지\u3000😀"}'.encode(), '{\n  "제목": "밤 편지\u3000😀"\n}'),
        (b"two\r\nlines\t\x1b[2J\x00", r"two\r" + "\n" + r"lines\t\x1b[2J\x00"),
        ("\u202eright to left\u2066".encode(), r"\u202eright to left\u2066"),
        (b"\xef\xbb\xbf{}", r"\ufeff{}"),
        (b"\x1f\x8b\x08\x00", r"\x1f\x8b\x08\x00"),
        (b'{"city":"\xff"}', r'{"city":"\xff"}'),
        (b"[" * 5000 + b"]" * 5000, "[" * 5000 + "]" * 5000),
    ],
    ids=["keys twice", "korean", "controls", "direction", "mark", "binary", "one wrong byte", "deep"],
)
def test_payloads_are_readable_and_harmless(payload: bytes, shown: str) -> None:
    assert pretty(payload) == shown


def test_no_control_character_is_printable() -> None:
    controls = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xD800, 0xE0001]))
    assert printable(controls).isprintable()
    assert printable(controls, keep="\n").replace("\n", "").isprintable()


@each(
    ("seconds", "words"),
    [
        (-0.5, "-0.5 s"),
        (0, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min"),
        (-72.9, "-1 min 12 s"),
        (599, "9 min 59 s"),
        (600, "10 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
        (172_799, "47 h"),
        (172_800, "2 days"),
        (1_945_838.7, "22 days"),
    ],
)
def test_a_span_is_told_as_people_say_it(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_markup_in_a_cell_is_text() -> None:
    assert cell("[red]:smile:\x1b[0m").plain == r"[red]:smile:\x1b[0m"
    assert (cell(None).plain, cell(5).plain) == ("", "5")
