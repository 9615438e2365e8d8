"""`x07-registry doctor`: one module per dependency, which reports what is wrong and how to fix it."""
