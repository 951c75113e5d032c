"""The answers of commands to programs: the shapes of JSON, their schemas, and the codes of errors.

Pure: values in, values out. `answers` lists the answers by command, `report.json_*` fills them from what is stored,
`compact` writes them, `error_codes` lists the errors, and `schemas` describes it all as JSON Schema.
"""

from __future__ import annotations

VERSION = 1
"""Of the contract. A field may be added within a version; one that goes, or means something else, makes a new one."""
