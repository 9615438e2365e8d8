"""The SQL of the write API: one module per group of tables, one function per query."""
