"""What people decided about samples, the subset that follows from it, and its files."""

from lsi_engine.curation.cleaning import CleanedSubset, CleaningRule, clean
from lsi_engine.curation.decisions import ACTIONS, Action, Conflict, Decision, Decisions
from lsi_engine.curation.export import FORMATS, export_bytes, read_export, write_export

__all__ = [
    "ACTIONS",
    "FORMATS",
    "Action",
    "CleanedSubset",
    "CleaningRule",
    "Conflict",
    "Decision",
    "Decisions",
    "clean",
    "export_bytes",
    "read_export",
    "write_export",
]
