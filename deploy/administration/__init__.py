"""What an operator asks and does at the command line, over the same rows and rules as the write API."""
