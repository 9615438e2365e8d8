"""The write API: routes, authentication, archive checks; the only writer of rows that a person asked for."""
