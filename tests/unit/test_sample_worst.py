"""One user's worst: what torture expects of it is what the rule makes of the updates, in the order of arrival."""

import json
from datetime import datetime

from ops import sample, sample_worst
from udfs import clock
from udfs.profile import Clock, Profile, Update


def test_the_expected_list_is_what_the_updates_come_to() -> None:
    plain = sample.generate(100, seed=5)
    worst = sample_worst.beside(plain, 200, seed=5)
    own = [put for put in worst.sample.puts if put not in plain.puts]
    assert len(own) == 221
    assert worst.sample.truth.received == 321
    assert worst.sample.truth.user_updates[sample_worst.PROJECT] == (
        plain.truth.user_updates.get(sample_worst.PROJECT, 0) + 201
    )
    known, arrivals = Profile(), []
    for put in own:
        record = json.loads(put.data)
        uploaded = clock.microseconds(datetime.fromisoformat(record["server_upload_time"]))
        arrivals.append(uploaded)
        at = Clock(uploaded, -1, -1, -1, -1)
        known.apply(Update(at, record["uuid"].encode(), "$identify", json.dumps(record["user_properties"])))
    assert json.loads(known.dump()[0]) == {sample_worst.PROPERTY: worst.expected}
    assert arrivals != sorted(arrivals)
