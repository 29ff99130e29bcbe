"""How the stages are joined, run and remembered."""
