"""Measures how far rounding moves an export's answers, and how far a defect does."""
