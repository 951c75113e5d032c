"""One test for each sentence of the page on security that is marked (test), named after it."""
