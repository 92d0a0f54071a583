"""How distinct texts are counted in little memory."""

from ops.usage_explain import Distinct


def test_distinct_texts_are_counted_across_pieces() -> None:
    distinct = Distinct()
    for _ in range(2):
        distinct.add(f"1|{n}" for n in range(1_000))
    distinct.add(["é", "é", ""])
    assert distinct.count() == 1_002
