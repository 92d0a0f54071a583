"""One module for each page: functions that take an `Ask` and return what is answered."""
