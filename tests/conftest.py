import gc


def pytest_collection_finish() -> None:
    # what the imports have left lives as long as the tests do: the collector need not go through it again
    gc.collect()
    gc.freeze()
