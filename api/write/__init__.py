"""The write API: routes, authentication and archive checks. It alone writes the rows that people ask for."""
