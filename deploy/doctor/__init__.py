"""`x07-registry doctor`: one module a dependency, each says what is wrong and how to mend it."""
