"""One user's worst: what torture expects of it is what the rule makes of the updates, in the order of arrival."""

import json
from datetime import datetime

from lab.sample import generator, worst
from udfs import clock
from udfs.profile import Clock, Profile, Update


def test_the_expected_list_is_what_the_updates_come_to() -> None:
    plain = generator.generate(100, seed=5)
    loaded = worst.beside(plain, 200, seed=5)
    own = [put for put in loaded.sample.puts if put not in plain.puts]
    assert len(own) == 221
    assert loaded.sample.truth.received == 321
    assert loaded.sample.truth.user_updates[worst.PROJECT] == (
        plain.truth.user_updates.get(worst.PROJECT, 0) + 201
    )
    known, arrivals = Profile(), []
    for put in own:
        record = json.loads(put.data)
        uploaded = clock.microseconds(datetime.fromisoformat(record["server_upload_time"]))
        arrivals.append(uploaded)
        at = Clock(uploaded, -1, -1, -1, -1)
        known.apply(Update(at, record["uuid"].encode(), "$identify", json.dumps(record["user_properties"])))
    assert json.loads(known.dump()[0]) == {worst.PROPERTY: loaded.expected}
    assert arrivals != sorted(arrivals)
