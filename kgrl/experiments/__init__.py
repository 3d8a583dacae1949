"""The papers' protocols: one module a table or figure, and what every run reports."""
