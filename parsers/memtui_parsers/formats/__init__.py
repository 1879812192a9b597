"""Parses the report files of other tools: one module a format, and sniff, which tells the formats apart."""
