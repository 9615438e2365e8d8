"""One file a resource: parse, authorise, call one domain function, answer."""
