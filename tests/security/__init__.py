"""One test for each sentence of docs/security.md that is marked (test), named after it."""
