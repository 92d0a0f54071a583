"""What a Python worker does for itself."""

import threading

import pytest
from apache_beam.runners.worker.statesampler import StateSampler
from apache_beam.utils.counters import CounterFactory
from pyflink.fn_execution.beam.beam_stream_fast import BeamTimeBasedOutputStream
from pyflink.fn_execution.utils.operation_utils import PeriodicThread

from udfs import worker


def test_results_are_kept_back_for_30_ms() -> None:
    """That PyFlink's own stream of results is ruled by such a thread is what an upgrade of it may change."""
    here = set(threading.enumerate())
    other = PeriodicThread(60, lambda: None)
    other.daemon = True
    other.start()
    results = BeamTimeBasedOutputStream()
    begun = [thread for thread in threading.enumerate() if thread not in here]
    try:
        assert sorted(thread._interval for thread in begun) == [1, 60]
        worker.answer_soon()
        assert sorted(thread._interval for thread in begun) == [0.03, 60]
    finally:
        results.close()
        other.cancel()


def test_the_end_of_a_bundle_does_not_wait_for_a_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    # Beam's own: a mini cluster in this process may have had it changed; what it was is put back afterwards
    monkeypatch.setattr(StateSampler, "run", StateSampler.__base__.run)

    def sampled() -> int:
        """How many threads sample a bundle, once those that do nothing have ended."""
        here = set(threading.enumerate())
        sampler = StateSampler("bundle", CounterFactory())
        sampler.start()
        begun = set(threading.enumerate()) - here
        for thread in begun:
            thread.join(0.5)
        alive = sum(thread.is_alive() for thread in begun)
        sampler.stop()
        return alive

    assert sampled() == 1
    worker.end_bundles_at_once()
    assert sampled() == 0
