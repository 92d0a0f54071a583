"""What a Python worker does for itself."""

import threading

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
