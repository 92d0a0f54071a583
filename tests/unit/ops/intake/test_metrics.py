"""The metrics of the intake are those that docs/data.md names."""

from ops.intake import metrics
from tests.metrics import documented


def test_the_metrics_are_those_of_the_page() -> None:
    families = metrics._NOWHERE.collect()
    found = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
    assert found == {name for name in documented() if name.startswith("intake_")}
