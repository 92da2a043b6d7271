"""Writes the dashboard beside this file."""

from __future__ import annotations

from pathlib import Path

from dashboards.board import as_text

FILE = Path(__file__).with_name("mailprobe.json")

if __name__ == "__main__":
    FILE.write_text(as_text(), encoding="utf-8")
    print(f"written: {FILE}")
