"""What each stage does: one file or package each. Components never import each other."""
