"""The templates and assets of the HTML pages, which the worker and the write API render."""
