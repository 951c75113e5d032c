"""One test for each sentence of docs/explanation/security.md that is marked (test), named after it."""
