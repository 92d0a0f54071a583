import gc

# what is imported and collected lives as long as the tests do: the collector need not go through it, then or later
gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()
    gc.set_threshold(50_000)  # what a test leaves behind is little: to look 70 times as often takes half a second
