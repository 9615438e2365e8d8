"""All SQL of the write API, one file a table family, one function a question."""
