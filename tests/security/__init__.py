"""Each test shows that a sentence of docs/security.md is true; the sentence stands in its docstring."""
