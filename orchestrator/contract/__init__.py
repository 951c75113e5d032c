"""What commands answer to programs: the shapes of JSON, their schemas, and the codes of errors.

Pure: values in, values out. `shapes` says what the answers are, `report.json_views` makes them from what the store
knows, `compact` writes them, `catalogue` lists the errors, and `schemas` describes it all as JSON Schema.
"""

from __future__ import annotations

VERSION = 1
"""Of the contract. A field may be added within a version; one that goes, or means something else, makes a new one."""
